"""The network in numbers: its stages, constants and parameters, without JAX.

Features have the image's height and width, divided by 1, 2, 4 or 8.
"""

import enum
from typing import NamedTuple, Protocol, runtime_checkable


class Size(enum.Enum):
  """Whether a stage's convolution keeps, halves or doubles height and width."""

  KEPT = enum.auto()
  HALVED = enum.auto()
  DOUBLED = enum.auto()

  @property
  def kernel(self) -> int:
    return 3 if self is Size.KEPT else 4


class Stage(NamedTuple):
  """One stage of the network."""

  name: str  # of its output in the paper's figure
  widths: int  # output channels, in units of the network's width n
  size: Size


ENCODER = (
  Stage("x1", 2, Size.HALVED),
  Stage("x2", 4, Size.KEPT),
  Stage("x3", 8, Size.HALVED),
  Stage("x4", 8, Size.KEPT),
  Stage("x5", 8, Size.HALVED),
  Stage("x6", 8, Size.KEPT),
  Stage("x7", 8, Size.KEPT),
)
DECODER = (
  Stage("y6", 8, Size.KEPT),
  Stage("y5", 8, Size.KEPT),
  Stage("y4", 8, Size.DOUBLED),
  Stage("y3", 8, Size.KEPT),
  Stage("y2", 4, Size.DOUBLED),
  Stage("y1", 2, Size.KEPT),
  Stage("y0", 1, Size.DOUBLED),
)
UNNORMALIZED = "x7"  # the features that LD compares
WITH_MGD = ("y2", "y1", "y0")
REDUCTION = 8  # the image's height and width over those of x7

EPSILON = 1e-5  # of instance norm and RAIN
TINY = 1e-6  # LD: floor of a squared norm; a zero vector is similar to nothing
GROUP = 64  # LD: keys in a group; the maxima of groups are compared first
REGIONS = 2  # MGD: foreground, background
HIDDEN = 2  # MGD: inputs of each region's kernel predictor
RAIN = (
  *("foreground_gamma", "foreground_beta"),
  *("background_gamma", "background_beta"),
)


@runtime_checkable  # beartype checks it
class Settings(Protocol):
  """Settings that decide parameter shapes, of `HDNet` and `ModelConfig`."""

  @property
  def width(self) -> int: ...

  @property
  def local_dynamics(self) -> str: ...

  @property
  def global_dynamics(self) -> str: ...


def parameter_shapes(model: Settings) -> dict[str, tuple[int, ...]]:
  """Return the shape of every parameter by path, such as "x1/conv/kernel"."""
  shapes: dict[str, tuple[int, ...]] = {}

  def dense(name: str, inputs: int, outputs: int) -> None:
    shapes[f"{name}/kernel"] = inputs, outputs
    shapes[f"{name}/bias"] = (outputs,)

  def convolution(stage: Stage, inputs: int) -> int:
    side, outputs = stage.size.kernel, stage.widths * model.width
    shapes[f"{stage.name}/conv/kernel"] = side, side, inputs, outputs
    return outputs

  channels, skips = model.width, []
  shapes["x0/kernel"] = 3, 3, 3, channels
  for stage in ENCODER:
    skips.append(channels)
    channels = convolution(stage, channels)
  if model.local_dynamics != "none":
    dense("ld/fuse", 2 * channels, channels)
  for stage, skip in zip(DECODER, reversed(skips), strict=True):
    outputs = convolution(stage, channels)
    shapes |= {f"{stage.name}/rain/{name}": (outputs,) for name in RAIN}
    channels = skip + outputs
    if stage.name not in WITH_MGD or model.global_dynamics == "none":
      continue
    name = f"mgd_{stage.name}"
    if model.global_dynamics == "spatial_attention":
      dense(f"{name}/gate", channels, channels)
      continue
    if model.global_dynamics == "learned_mask":
      dense(f"{name}/guide", channels, REGIONS)
    dense(f"{name}/squeeze", channels, REGIONS * HIDDEN)
    shapes[f"{name}/kernel"] = REGIONS, HIDDEN, channels**2
    shapes[f"{name}/bias"] = REGIONS, channels**2
  shapes["out/kernel"], shapes["out/bias"] = (3, 3, channels, 3), (3,)
  return shapes
