"""What a run is made of, as frozen dataclasses; standard library only.

A config file (`configs/*.py`) returns `flags_of(Config(...))`: a ConfigDict
that takes overrides from the command line (`--config.batch_size=4`), which
`Config.from_dict` turns back, refusing unknown names and wrong types.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from hdnet_jax import settings
from hdnet_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The network; see `hdnet_jax.HDNet`."""

  width: int = 32  # n of the stage table: 32 is HDNet, 8 is HDNet-lite
  local_dynamics: Literal["paper", "official", "none"] = "paper"
  neighbors: int = 1  # K of LD
  global_dynamics: Literal[
    "mask", "learned_mask", "spatial_attention", "none"
  ] = "mask"
  # What is computed in; parameters are float32.
  dtype: Literal["float32", "bfloat16"] = "float32"
  # Stages computed again in the backward pass: slower, less memory.
  remat: bool = False


@dataclasses.dataclass(frozen=True)
class CompositesConfig:
  """How composites are made of photos; see `hdnet_jax.composites`.

  Values are shares of the examples; of the truths, and of the changes, they
  need not add up to 1.
  """

  # The object's place and its edge.
  moved: float = 0.4  # objects that are moved within their photo
  edge: int = 2  # most half pixels by which a mask is too large or too small
  hard: float = 0.0  # moved objects whose edges have no soft transition
  jpeg: float = 0.0  # composites that are saved as JPEG

  # What the truth is: the photo as it is, its dull original, or any other
  # development of it.
  as_it_is: float = 0.4
  dull: float = 0.3
  developed: float = 0.3

  # What is done to the object.
  nothing: float = 0.08
  expert: float = 0.2  # an expert's retouching
  dulled: float = 0.07  # the reverse
  light: float = 0.4  # another light and camera
  covariance: float = 0.15  # a donor's colours, by their covariance
  reinhard: float = 0.1  # a donor's colours, by mean and deviation in Lab
  color_map: float = 0.0  # one of `color_maps`
  distribution: float = 0.0  # a donor's colours, by their distribution
  least_amount: float = 0.2  # of a change; the greatest is 1
  strength: float = 1.0  # of expert, dulled and light, times their amount
  color_maps: str = ""  # an .npz file of 3D look-up tables


TRUTHS = ("as_it_is", "dull", "developed")
CHANGES = (
  *("nothing", "expert", "dulled", "light", "covariance", "reinhard"),
  *("color_map", "distribution"),
)


def only(change: str, **others: Any) -> CompositesConfig:
  """Composites of photos as they are, all by one of CHANGES."""
  shares = dict.fromkeys((*TRUTHS, *CHANGES), 0.0)
  return CompositesConfig(
    **{**shares, "as_it_is": 1.0, change: 1.0, "edge": 1, **others}
  )


# Those of the released weights' training; weights/README.md has the trials.
RELEASE = CompositesConfig(
  moved=0.5,
  hard=0.4,
  jpeg=0.2,
  nothing=0.08,
  expert=0.2,
  dulled=0.06,
  light=0.3,
  covariance=0.24,
  reinhard=0.12,
  least_amount=0.15,
  strength=1.8,
)
# By a change that training does not use; half of the moved edges are hard.
UNSEEN = only("distribution", moved=0.5, hard=0.5)


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where examples come from. Splits never share a photo."""

  # "iharmony4" is the prepared data set, "folder" the one as it is published.
  source: Literal["embedded", "photos", "folder", "iharmony4"] = "embedded"
  root: str = ""  # the data's folder; embedded photos need none
  subsets: tuple[str, ...] = ()  # of iHarmony4, such as HAdobe5k; () is all
  image_size: int = 256  # examples are resized to this square
  validation_split: str = "validation"  # chooses the best checkpoint
  test_split: str = "test"  # what the final table is about
  composites: CompositesConfig = CompositesConfig()  # that photos are made into
  # Those of validation and test.
  evaluation_composites: CompositesConfig = UNSEEN
  flip: bool = False  # half of the training examples, left to right
  # The least share of a training example's area that a random crop keeps; the
  # crop is resized to image_size. 1 is no crop.
  crop: float = 1.0
  threads: int = 4  # that read and decode ahead, in each worker
  workers: int = 0  # processes that read ahead; 0 is the training process
  # "device" reads all training examples once, into the devices' memory: of each
  # so many variants, which are augmented and placed apart.
  cache: Literal["none", "device"] = "none"
  cache_variants: int = 1

  @property
  def makes_composites(self) -> bool:
    """Whether the source has photos alone, of which composites are made."""
    return self.source in ("embedded", "photos")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """Adam, and a learning rate that falls in steps."""

  learning_rate: float = 1e-3
  beta1: float = 0.9
  beta2: float = 0.999
  boundaries: tuple[float, ...] = (100.0, 110.0)  # in epochs
  decay: float = 0.1  # the rate is multiplied by this at each boundary


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """What is done besides following the gradient."""

  # Of the running mean of the weights, which evaluation then uses; 0 is off.
  ema_decay: float = 0.0
  # The first epochs see images of half of data.image_size, at a quarter of the
  # time: colours are learned there as well, and fine detail afterwards.
  half_size_epochs: float = 0.0
  # A weights file, or a released network such as hdnet-lite, to start from; the
  # network must be config.model. "" is a random start.
  initial_weights: str = ""
  # Eq. 1 as in the authors' code, or its root: see training.loss.
  loss: Literal["squared", "root"] = "squared"


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How devices share the work."""

  data: int = 0  # devices that a batch is split over; 0 is all there are
  spatial: int = 1  # devices that an image's height is split over


@dataclasses.dataclass(frozen=True)
class HostsConfig:
  """The processes of a distributed run.

  A TPU pod and Slurm tell the first three; elsewhere all three are given.
  """

  coordinator: str = ""  # host:port of the process of rank 0
  count: int = 0  # of processes
  rank: int = -1  # of this process, from 0
  timeout: int = 100  # seconds without a sign of life, then the run stops


@dataclasses.dataclass(frozen=True)
class Config:
  """One run. Defaults are the paper's."""

  name: str = "hdnet"
  seed: int = 0
  batch_size: int = 12  # over all devices
  epochs: float = 120.0  # passes over the training split
  min_area: float = 100.0  # A_min of the loss, in pixels
  eval_batch_size: int = 16
  log_every: int = 50  # steps between lines of metrics.jsonl
  eval_every: int = 1000  # steps between evaluations on validation_split
  save_every: int = 1000  # steps between checkpoints
  keep: int = 2  # last checkpoints kept, besides the best
  model: ModelConfig = ModelConfig()
  data: DataConfig = DataConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  training: TrainingConfig = TrainingConfig()
  mesh: MeshConfig = MeshConfig()
  distributed: bool = False  # one of several processes; see `hosts`
  hosts: HostsConfig = HostsConfig()

  def __post_init__(self):
    positive = {
      "batch_size": self.batch_size,
      "epochs": self.epochs,
      "eval_batch_size": self.eval_batch_size,
      "log_every": self.log_every,
      "eval_every": self.eval_every,
      "save_every": self.save_every,
      "keep": self.keep,
      "data.threads": self.data.threads,
      "data.crop": self.data.crop,
      "data.cache_variants": self.data.cache_variants,
      "mesh.spatial": self.mesh.spatial,
      "hosts.timeout": self.hosts.timeout,
      "model.width": self.model.width,
      "model.neighbors": self.model.neighbors,
      "min_area": self.min_area,
      "optimizer.learning_rate": self.optimizer.learning_rate,
    }
    for name, value in positive.items():
      if not 0 < value < math.inf:  # false for NaN, too
        raise UserError(f"config.{name} must be above 0, not {value}")
    not_negative = {
      "training.half_size_epochs": self.training.half_size_epochs,
      "data.workers": self.data.workers,
      "mesh.data": self.mesh.data,
    }
    for name, value in not_negative.items():
      if not 0 <= value < math.inf:
        raise UserError(f"config.{name} must be 0 or more, not {value}")
    _check_composites("data.composites", self.data.composites)
    _check_composites(
      "data.evaluation_composites", self.data.evaluation_composites
    )
    if self.data.crop > 1:
      raise UserError(
        f"config.data.crop is a share of the area, not {self.data.crop}"
      )
    if not 0 <= self.training.ema_decay < 1:
      raise UserError(
        "config.training.ema_decay must be 0 or more and below 1, not "
        f"{self.training.ema_decay}"
      )
    if self.model.local_dynamics == "official" and self.model.neighbors != 1:
      raise UserError(
        "config.model.local_dynamics='official' has config.model.neighbors=1 "
        f"only, not {self.model.neighbors}"
      )
    # The network halves its input three times; half-size epochs, once before.
    step = 16 if self.training.half_size_epochs else 8
    if self.data.image_size < step or self.data.image_size % step:
      raise UserError(
        f"config.data.image_size must be a multiple of {step}"
        f"{', to be halved,' if step == 16 else ','} not {self.data.image_size}"
      )
    if self.data.image_size % (step * self.mesh.spatial):
      raise UserError(
        f"config.data.image_size={self.data.image_size} does not split into "
        f"config.mesh.spatial={self.mesh.spatial} bands of a multiple of "
        f"{step} rows"
      )

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> "Config":
    """The config of nested `values`; the inverse of `to_dict`.

    Raises:
      UserError: for an unknown name (with the nearest valid one) or a value
        of the wrong type.
    """
    return settings.build(cls, values, "config")

  def to_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  def to_flat(self) -> dict[str, Any]:
    """Dotted names to values, as on the command line."""
    return settings.flatten(self.to_dict())


def _check_composites(path: str, config: CompositesConfig) -> None:
  """Raise UserError where shares or amounts are none."""
  for name, value in dataclasses.asdict(config).items():
    if not isinstance(value, str) and not 0 <= value < math.inf:
      raise UserError(f"config.{path}.{name} must be 0 or more, not {value}")
  for name in ("moved", "hard", "jpeg", "least_amount"):
    if getattr(config, name) > 1:
      raise UserError(
        f"config.{path}.{name} is a share, not {getattr(config, name)}"
      )
  for names in (TRUTHS, CHANGES):
    if not any(getattr(config, name) for name in names):
      raise UserError(
        f"config.{path}: one of {', '.join(names)} must be above 0"
      )
  if config.color_map and not config.color_maps:
    raise UserError(
      f"config.{path}.color_map={config.color_map} needs "
      f"config.{path}.color_maps, an .npz file of look-up tables"
    )


# Names that may differ between a run and its continuation: where it runs, and
# what it tells. None changes a number that the run produces, but for the order
# of summation on another number of devices.
FREE_TO_CHANGE = (
  "name",
  "data.root",
  "data.composites.color_maps",
  "data.evaluation_composites.color_maps",
  "data.threads",
  "data.workers",
  "log_every",
  "keep",
  "mesh.data",
  "mesh.spatial",
  "distributed",
  "hosts.coordinator",
  "hosts.count",
  "hosts.rank",
  "hosts.timeout",
)


def differences(old: Config, new: Config) -> list[str]:
  """Lines `name: old -> new` for what forbids continuing `old` as `new`."""
  before, after = old.to_flat(), new.to_flat()
  return [
    f"{name}: {before[name]} -> {after[name]}"
    for name in before
    if before[name] != after[name] and name not in FREE_TO_CHANGE
  ]


def flags_of(config: Config):
  """The ConfigDict that config files return to ml_collections."""
  import ml_collections  # a training library: config itself needs none

  # By way of from_dict, so that an int written for a float takes overrides of
  # either kind.
  return ml_collections.ConfigDict(Config.from_dict(config.to_dict()).to_dict())
