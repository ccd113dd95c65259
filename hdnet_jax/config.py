"""Every setting of a run, as frozen dataclasses; standard library only.

A config of `hdnet_jax/configs/` returns `make_config_dict(Config(...))`, which
takes overrides from the command line (`--config.batch_size=4`).
`Config.from_dict` turns it back, and refuses unknown names and wrong types.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from hdnet_jax import config_dict
from hdnet_jax.config_v0_1 import refuse_retired
from hdnet_jax.errors import UserError


def _check_positive(path: str, group: Any, *names: str) -> None:
  for name in names:
    value = getattr(group, name)
    if not 0 < value < math.inf:  # false for NaN, too
      raise UserError(f"{path}.{name} must be above 0, not {value}")


def _check_not_negative(path: str, group: Any, *names: str) -> None:
  for name in names:
    value = getattr(group, name)
    if not 0 <= value < math.inf:
      raise UserError(f"{path}.{name} must be 0 or more, not {value}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """The network; see `hdnet_jax.HDNet`."""

  width: int = 32  # n of the stage table: 32 is HDNet, 8 is HDNet-lite
  local_dynamics: Literal["paper", "official", "none"] = "paper"
  neighbors: int = 1  # K of LD
  global_dynamics: Literal[
    "mask", "learned_mask", "spatial_attention", "none"
  ] = "mask"
  # The dtype of activations; parameters are always float32.
  dtype: Literal["float32", "bfloat16"] = "float32"
  # Stages computed again in the backward pass: slower, less memory.
  remat: bool = False

  def __post_init__(self):
    _check_positive("config.model", self, "width", "neighbors")
    if self.local_dynamics == "official" and self.neighbors != 1:
      raise UserError(
        "config.model.local_dynamics='official' has config.model.neighbors=1 "
        f"only, not {self.neighbors}"
      )


@dataclasses.dataclass(frozen=True)
class CompositesConfig:
  """How composites are made of photos; see `hdnet_jax.composites`.

  Most values are shares of the examples. The shares of truths are relative to
  each other, and so are those of changes: they need not add up to 1.
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

  def check(self, path: str) -> None:
    """Raise UserError for shares or amounts out of range.

    Args:
      path: dotted name for messages, such as "config.data.composites".
    """
    names = [field.name for field in dataclasses.fields(self)]
    names.remove("color_maps")
    _check_not_negative(path, self, *names)
    for name in ("moved", "hard", "jpeg", "least_amount"):
      if getattr(self, name) > 1:
        raise UserError(f"{path}.{name} is a share, not {getattr(self, name)}")
    for names in (TRUTHS, CHANGES):
      if not any(getattr(self, name) for name in names):
        raise UserError(f"{path}: one of {', '.join(names)} must be above 0")
    if self.color_map and not self.color_maps:
      raise UserError(
        f"{path}.color_map={self.color_map} needs {path}.color_maps, an .npz "
        "file of look-up tables"
      )


TRUTHS = ("as_it_is", "dull", "developed")
CHANGES = (
  *("nothing", "expert", "dulled", "light", "covariance", "reinhard"),
  *("color_map", "distribution"),
)


def only(change: str, **others: Any) -> CompositesConfig:
  """Return settings that apply one of CHANGES to every photo as it is."""
  settings: dict[str, Any] = dict.fromkeys((*TRUTHS, *CHANGES), 0.0)
  settings.update({"as_it_is": 1.0, change: 1.0, "edge": 1})
  settings.update(others)
  return CompositesConfig(**settings)


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


SourceName = Literal["embedded", "photos", "folder", "iharmony4"]
PHOTO_SOURCES = ("embedded", "photos")  # of which composites are made


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """Where examples come from. Splits never share a photo."""

  # iHarmony4: "iharmony4" as `hdnet prepare` writes it, "folder" as published.
  source: SourceName = "embedded"
  root: str = ""  # the data's folder; embedded photos need none
  subsets: tuple[str, ...] = ()  # of iHarmony4, such as HAdobe5k; () is all
  image_size: int = 256  # examples are resized to this square
  validation_split: str = "validation"  # chooses the best checkpoint
  test_split: str = "test"  # what the final table is about
  composites: CompositesConfig = CompositesConfig()  # of training
  # The composites of validation and test.
  evaluation_composites: CompositesConfig = UNSEEN
  flip: bool = False  # mirror half of the training examples
  # The least share of a training example's area that a random crop keeps; the
  # crop is resized to image_size. 1 is no crop.
  crop: float = 1.0
  threads: int = 4  # that read and decode ahead, in each worker
  workers: int = 0  # processes that read ahead; 0 is the training process
  # "device" reads all training examples once into the devices' memory, with
  # `cache_variants` of each, which differ in augmentation and place.
  cache: Literal["none", "device"] = "none"
  cache_variants: int = 1

  def __post_init__(self):
    _check_positive("config.data", self, "threads", "crop", "cache_variants")
    _check_not_negative("config.data", self, "workers")
    if self.crop > 1:
      raise UserError(
        f"config.data.crop is a share of the area, not {self.crop}"
      )
    self.composites.check("config.data.composites")
    self.evaluation_composites.check("config.data.evaluation_composites")

  @property
  def makes_composites(self) -> bool:
    """Whether the source has photos alone, of which composites are made."""
    return self.source in PHOTO_SOURCES


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
  """Adam, and a learning rate that falls in steps."""

  learning_rate: float = 1e-3
  beta1: float = 0.9
  beta2: float = 0.999
  boundaries: tuple[float, ...] = (100.0, 110.0)  # in epochs
  decay: float = 0.1  # the rate is multiplied by this at each boundary

  def __post_init__(self):
    _check_positive("config.optimizer", self, "learning_rate")


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
  """Settings of training besides the optimizer's."""

  # Decay of the running mean of weights, which evaluation then uses; 0 is off.
  ema_decay: float = 0.0
  # First epochs, on images of half of data.image_size. They take a quarter of
  # the time and teach colours as well; later epochs teach fine detail.
  half_size_epochs: float = 0.0
  # A weights file, or a released network such as hdnet-lite, to start from; the
  # network must be config.model. "" is a random start.
  initial_weights: str = ""
  # Eq. 1 as in the authors' code, or its root: see training.loss.
  loss: Literal["squared", "root"] = "squared"

  def __post_init__(self):
    _check_not_negative("config.training", self, "half_size_epochs")
    if not 0 <= self.ema_decay < 1:
      raise UserError(
        "config.training.ema_decay must be 0 or more and below 1, not "
        f"{self.ema_decay}"
      )


@dataclasses.dataclass(frozen=True)
class MeshConfig:
  """How devices share the work."""

  data: int = 0  # devices that a batch is split over; 0 is all there are
  spatial: int = 1  # devices that an image's height is split over

  def __post_init__(self):
    _check_positive("config.mesh", self, "spatial")
    _check_not_negative("config.mesh", self, "data")


@dataclasses.dataclass(frozen=True)
class HostsConfig:
  """The processes of a distributed run.

  JAX finds the first three on a TPU pod or under Slurm. Elsewhere set them.
  """

  coordinator: str = ""  # host:port of the process of rank 0
  count: int = 0  # of processes
  rank: int = -1  # of this process, from 0
  timeout: int = 100  # seconds without a sign of life, then the run stops

  def __post_init__(self):
    _check_positive("config.hosts", self, "timeout")


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
  profile_steps: int = 0  # steps traced into WORKDIR/profile; 0 is off
  model: ModelConfig = ModelConfig()
  data: DataConfig = DataConfig()
  optimizer: OptimizerConfig = OptimizerConfig()
  training: TrainingConfig = TrainingConfig()
  mesh: MeshConfig = MeshConfig()
  distributed: bool = False  # one of several processes; see `hosts`
  hosts: HostsConfig = HostsConfig()

  def __post_init__(self):
    _check_positive(
      "config",
      self,
      *("batch_size", "epochs", "min_area", "eval_batch_size", "log_every"),
      *("eval_every", "save_every", "keep"),
    )
    _check_not_negative("config", self, "profile_steps")
    # The network halves images three times; half-size epochs, once more.
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
    """Return the config of nested `values`; the inverse of `to_dict`.

    Raises:
      UserError: for an unknown name (with the nearest valid one), or a value
        of the wrong type or out of range.
    """
    refuse_retired(values)
    return config_dict.build(cls, values, "config")

  def to_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  def to_flat(self) -> dict[str, Any]:
    """Return dotted names to values, as on the command line."""
    return config_dict.flatten(self.to_dict())


# Settings that a continued run may change: where it runs, and what it logs.
# They change no result, but for the order of summation on other devices.
CHANGEABLE_ON_RESUME = (
  *("name", "data.root", "data.threads", "data.workers", "log_every", "keep"),
  *("data.composites.color_maps", "data.evaluation_composites.color_maps"),
  *("profile_steps", "mesh.data", "mesh.spatial", "distributed"),
  *("hosts.coordinator", "hosts.count", "hosts.rank", "hosts.timeout"),
)


def differences(old: Config, new: Config) -> list[str]:
  """List `name: old -> new` for changes that a continued run may not make."""
  before, after = old.to_flat(), new.to_flat()
  return [
    f"{name}: {before[name]} -> {after[name]}"
    for name in before
    if before[name] != after[name] and name not in CHANGEABLE_ON_RESUME
  ]


def make_config_dict(config: Config):
  """Return the ConfigDict that config files give to ml_collections."""
  import ml_collections  # a training library: config itself needs none

  # from_dict turns 1 into 1.0 for a float, which can then be overridden by 0.5.
  return ml_collections.ConfigDict(Config.from_dict(config.to_dict()).to_dict())


flags_of = make_config_dict  # the name in users' config files of version 0.1
