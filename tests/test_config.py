import dataclasses
import json
import math
import re
import typing

import pytest

from hdnet_jax.config import (
  CHANGEABLE_ON_RESUME,
  CHANGES,
  TRUTHS,
  CompositesConfig,
  Config,
  DataConfig,
  HostsConfig,
  MeshConfig,
  ModelConfig,
  OptimizerConfig,
  TrainingConfig,
  differences,
  flags_of,
  make_config_dict,
)
from hdnet_jax.errors import UserError

# No value here is a default.
OTHER_COMPOSITES = CompositesConfig(
  **{
    **{
      field.name: 0.5 + number / 100
      for number, field in enumerate(dataclasses.fields(CompositesConfig))
    },
    "edge": 5,
    "color_maps": "maps.npz",
  }
)
NO_TRUTH = dict.fromkeys(TRUTHS, 0.0)
NO_CHANGE = dict.fromkeys(CHANGES, 0.0)
OTHER = Config(
  name="other",
  seed=3,
  batch_size=4,
  epochs=2.5,
  min_area=50.0,
  eval_batch_size=2,
  log_every=5,
  eval_every=6,
  save_every=7,
  keep=8,
  profile_steps=9,
  model=ModelConfig(4, "none", 3, "none", "bfloat16", True),
  data=DataConfig(
    source="photos",
    root="somewhere",
    subsets=("HCOCO",),
    image_size=64,
    validation_split="train",
    test_split="validation",
    composites=OTHER_COMPOSITES,
    evaluation_composites=dataclasses.replace(OTHER_COMPOSITES, moved=0.25),
    flip=True,
    crop=0.5,
    threads=2,
    workers=1,
    cache="device",
    cache_variants=3,
  ),
  optimizer=OptimizerConfig(0.5, 0.8, 0.9, (1.0, 2.0, 3.5), 0.25),
  training=TrainingConfig(0.9, 2.0, "mine.safetensors", "root"),
  mesh=MeshConfig(2, 4),
  distributed=True,
  hosts=HostsConfig("localhost:1234", 2, 1, 10),
)


def nested(name: str, value) -> dict:
  """`a.b`, 1 to {"a": {"b": 1}}."""
  first, _, rest = name.partition(".")
  return {first: nested(rest, value) if rest else value}


def test_defaults_are_the_papers():
  run = Config()
  assert run.batch_size == 12
  assert run.epochs == 120
  assert run.min_area == 100
  assert run.model == ModelConfig(32, "paper", 1, "mask", "float32")
  assert run.data.image_size == 256
  # No augmentation.
  assert (run.data.flip, run.data.crop) == (0, 1)
  assert run.training.loss == "squared"
  assert run.optimizer.learning_rate == 1e-3
  assert (run.optimizer.beta1, run.optimizer.beta2) == (0.9, 0.999)
  assert run.optimizer.boundaries == (100, 110)
  assert run.optimizer.decay == 0.1


def test_the_other_config_is_other_everywhere():
  # The round trips below would not see a lost default.
  defaults, other = Config().to_flat(), OTHER.to_flat()
  assert set(defaults) == set(other)
  assert [name for name in defaults if defaults[name] == other[name]] == []


@pytest.mark.parametrize("run", [Config(), OTHER], ids=["default", "other"])
def test_dicts_are_the_way_back(run):
  assert Config.from_dict(run.to_dict()) == run
  saved = Config.from_dict(json.loads(json.dumps(run.to_dict())))
  assert saved == run
  assert differences(saved, run) == []
  assert Config.from_dict(make_config_dict(run).to_dict()) == run


def test_what_a_dict_leaves_out_is_default():
  assert Config.from_dict({}) == Config()
  run = Config.from_dict({"model": {"width": 8}})
  assert run == Config(model=ModelConfig(width=8))


@pytest.mark.parametrize(
  ("name", "value", "words"),
  [
    # Unknown names.
    ("batchsize", 1, "config.batchsize does not exist; did you mean 'batch_s"),
    ("model.widht", 1, "config.model.widht does not exist; did you mean 'wid"),
    ("data.dir_root", 1, "did you mean 'root'?"),
    ("data.qqq", 1, "valid names: cache, cache_variants, composites, crop"),
    # Wrong types.
    ("batch_size", "4", "config.batch_size is of type int, not '4'"),
    ("batch_size", 4.0, "config.batch_size is of type int, not 4.0"),
    ("batch_size", None, "config.batch_size is of type int, not None"),
    ("keep", True, "config.keep is of type int, not True"),
    ("epochs", True, "config.epochs is of type float, not True"),
    ("name", 3, "config.name is of type str, not 3"),
    ("model", 8, "config.model is a group of settings, not 8"),
    ("optimizer.boundaries", 5, "boundaries is a list of numbers, not 5"),
    ("optimizer.boundaries", [1, "2"], "boundaries is of type float, not '2'"),
    ("data.subsets", [1], "config.data.subsets is of type str, not 1"),
    ("data.subsets", "HCOCO", "is a list of names, not 'HCOCO'"),
    # Out of range.
    ("epochs", math.nan, "config.epochs must be above 0, not nan"),
    ("profile_steps", -1, "config.profile_steps must be 0 or more"),
    ("data.crop", 1.5, "config.data.crop is a share of the area, not 1.5"),
    ("data.crop", 0.0, "config.data.crop must be above 0"),
    ("data.workers", -1, "config.data.workers must be 0 or more"),
    ("data.image_size", 100, "multiple of 8, not 100"),
    ("data.image_size", 0, "multiple of 8, not 0"),
    ("mesh.data", -1, "config.mesh.data must be 0 or more"),
    ("mesh.spatial", 3, "does not split into config.mesh.spatial=3 bands"),
    ("training.ema_decay", 1.0, "must be 0 or more and below 1, not 1.0"),
    ("training.ema_decay", -0.1, "must be 0 or more and below 1, not -0.1"),
    ("training.half_size_epochs", -1.0, "must be 0 or more, not -1.0"),
    ("data.composites.moved", 1.5, "composites.moved is a share, not 1.5"),
    ("data.composites.light", -1.0, "composites.light must be 0 or more"),
    ("data.composites.color_map", 0.5, "needs config.data.composites.color_m"),
    ("data.composites", NO_CHANGE, "one of nothing, expert, dulled"),
    ("data.evaluation_composites", NO_TRUTH, "one of as_it_is, dull, develop"),
  ],
)
def test_wrong_values_are_named(name, value, words):
  with pytest.raises(UserError, match=re.escape(words)):
    Config.from_dict(nested(name, value))


def test_integers_and_lists_are_taken_for_floats_and_tuples():
  run = Config.from_dict(
    {"epochs": 3, "optimizer": {"boundaries": [1, 2.5], "decay": 1}}
  )
  assert run.epochs == 3
  assert run.optimizer.boundaries == (1, 2.5)
  assert run.optimizer.decay == 1
  # As floats: a ConfigDict takes no other type for them later.
  assert type(run.epochs) is float
  assert {type(value) for value in run.optimizer.boundaries} == {float}


@pytest.mark.parametrize(
  "name",
  [
    *("batch_size", "epochs", "eval_batch_size", "log_every", "eval_every"),
    *("save_every", "keep", "data.threads", "mesh.spatial", "hosts.timeout"),
    *("model.width", "model.neighbors"),
  ],
)
@pytest.mark.parametrize("value", [0, -1])
def test_values_that_must_be_positive(name, value):
  message = re.escape(f"config.{name} must be above 0, not {value}")
  with pytest.raises(UserError, match=message):
    Config.from_dict(nested(name, value))


@pytest.mark.parametrize("size", [8, 24, 250])
def test_sizes_that_cannot_be_halved(size):
  training = TrainingConfig(half_size_epochs=1.0)
  with pytest.raises(UserError, match=f"of 16, to be halved, not {size}"):
    Config(data=DataConfig(image_size=size), training=training)
  banded = MeshConfig(spatial=2)
  with pytest.raises(UserError, match="2 bands of a multiple of 16 rows"):
    Config(data=DataConfig(image_size=48), training=training, mesh=banded)


def test_sizes_that_the_network_takes():
  for size in (8, 96, 256, 2048):
    assert Config(data=DataConfig(image_size=size)).data.image_size == size


@pytest.mark.parametrize(
  ("name", "choices"),
  [
    ("model.local_dynamics", "paper, official, none"),
    ("model.global_dynamics", "mask, learned_mask, spatial_attention, none"),
    ("model.dtype", "float32, bfloat16"),
    ("data.source", "embedded, photos, folder, iharmony4"),
    ("data.cache", "none, device"),
    ("training.loss", "squared, root"),
  ],
)
def test_choices(name, choices):
  for choice in choices.split(", "):
    run = Config.from_dict(nested(name, choice))
    assert run.to_flat()[name] == choice
  for wrong in ("nothing", "", None, 1, ["paper"]):
    message = f"config.{name} is one of {choices}, not {wrong!r}"
    with pytest.raises(UserError, match=re.escape(message)):
      Config.from_dict(nested(name, wrong))


def test_the_authors_local_dynamics_have_one_neighbor():
  Config(model=ModelConfig(local_dynamics="official", neighbors=1))
  with pytest.raises(UserError, match="neighbors=1 only, not 3"):
    Config(model=ModelConfig(local_dynamics="official", neighbors=3))


def test_differences_are_dotted_names():
  new = Config(
    batch_size=4,
    model=ModelConfig(width=8),
    optimizer=OptimizerConfig(boundaries=(1, 2)),
  )
  assert differences(Config(), new) == [
    "batch_size: 12 -> 4",
    "model.width: 32 -> 8",
    "optimizer.boundaries: (100.0, 110.0) -> (1, 2)",
  ]
  assert differences(new, new) == []


def test_differences_see_every_name_but_the_changeable_ones():
  names = set(Config().to_flat())
  assert set(CHANGEABLE_ON_RESUME) < names
  named = {line.split(":")[0] for line in differences(Config(), OTHER)}
  assert named == names - set(CHANGEABLE_ON_RESUME)


def test_config_dicts_take_overrides():
  values = make_config_dict(Config(epochs=120))
  values.data.root = "photos"
  values.optimizer.boundaries = (1.0,)
  for epochs in (0.5, 3):  # a float for an int, and the reverse
    values.epochs = epochs
    assert Config.from_dict(values.to_dict()) == Config(
      epochs=epochs,
      data=DataConfig(root="photos"),
      optimizer=OptimizerConfig(boundaries=(1.0,)),
    )


def test_older_config_files_find_the_older_name():
  assert flags_of is make_config_dict


def test_every_setting_has_a_type_that_is_checked():
  # `Config.from_dict` knows these; a new one needs a line there.
  for group in (
    *(Config, ModelConfig, DataConfig, CompositesConfig, OptimizerConfig),
    *(TrainingConfig, MeshConfig, HostsConfig),
  ):
    for kind in typing.get_type_hints(group).values():
      assert (
        kind in (bool, int, float, str, tuple[float, ...], tuple[str, ...])
        or typing.get_origin(kind) is typing.Literal
        or dataclasses.is_dataclass(kind)
      )
