"""What version 0.1 wrote is read, or refused with what to do."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy

from hdnet_jax import weights
from hdnet_jax.app.config_file import load_config
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.config_v0_1 import RETIRED
from hdnet_jax.errors import UserError
from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.training.workdir import claim, read_config

# A run's config.json, whole, as 0.1 wrote it for photos.
PHOTOS = json.loads("""{
  "name": "photos", "seed": 1, "batch_size": 8, "epochs": 12.0,
  "min_area": 100.0, "eval_batch_size": 16, "log_every": 50,
  "eval_every": 500, "save_every": 500, "keep": 2,
  "model": {
    "width": 4, "local_dynamics": "paper", "neighbors": 1,
    "global_dynamics": "mask", "dtype": "float32", "remat": false
  },
  "data": {
    "source": "photos", "root": "photos", "subsets": [], "image_size": 64,
    "validation_split": "validation", "test_split": "test",
    "recolor_strength": 1.0, "recolorings": ["reinhard_lab", "retouch"],
    "held_out_recolorings": ["mixed"], "photo_variation": 0.5,
    "flip": true, "crop": 1.0, "threads": 4, "workers": 0
  },
  "optimizer": {
    "learning_rate": 0.002, "beta1": 0.9, "beta2": 0.999,
    "boundaries": [8.0, 10.0], "decay": 0.1
  },
  "training": {
    "ema_decay": 0.998, "half_size_epochs": 2.0, "initial_weights": ""
  },
  "mesh": {"data": 0, "spatial": 1},
  "distributed": false,
  "hosts": {"coordinator": "", "count": 0, "rank": -1, "timeout": 100}
}""")
IHARMONY4 = {**PHOTOS, "data": {**PHOTOS["data"], "source": "iharmony4"}}
# The metadata of a weights file.
METADATA = {
  "format": "hdnet_jax weights 1",
  "model": '{"global_dynamics": "mask", "local_dynamics": "paper", '
  '"neighbors": 1, "width": 4}',
  "provenance": '{"checkpoint": "last", "data": "photos", "hdnet_jax": '
  '"0.1.0", "image_size": "64", "run": "photos", "step": "19339"}',
}


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  (tmp_path / "config.json").write_text(json.dumps(PHOTOS, indent=2) + "\n")
  return tmp_path


def refusal(function, *arguments) -> str:
  with pytest.raises(UserError) as error:
    function(*arguments)
  message = str(error.value)
  assert "\n" not in message
  return message


def test_settings_of_a_run_are_read_without_recolouring(workdir):
  config = read_config(workdir)
  values = config.to_dict()
  for group in ("model", "optimizer", "training", "mesh", "hosts"):
    expected = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in PHOTOS[group].items()
    }
    assert expected.items() <= values[group].items()
  assert config.data.source == "photos"
  assert config.data.image_size == 64
  assert config.training.loss == "squared"  # the only one that there was


def test_a_run_of_recoloured_photos_is_not_continued(workdir):
  config = read_config(workdir)
  message = refusal(claim, workdir, config, 10.0)
  assert str(workdir) in message
  assert "version 0.1" in message
  assert "hdnet export-weights" in message
  assert "--config.training.initial_weights=" in message
  assert json.loads((workdir / "config.json").read_text()) == PHOTOS


def test_a_run_of_iharmony4_is_continued(workdir):
  (workdir / "config.json").write_text(json.dumps(IHARMONY4))
  config = read_config(workdir)
  assert config.data.source == "iharmony4"
  claim(workdir, config, 10.0)
  changed = dataclasses.replace(config, seed=2)
  with pytest.raises(UserError, match=r"seed: 1 -> 2"):
    claim(workdir, changed, 10.0)


def test_a_setting_that_never_was_is_still_refused(workdir):
  values = {**PHOTOS, "data": {**PHOTOS["data"], "recolour": 1.0}}
  (workdir / "config.json").write_text(json.dumps(values))
  assert "config.data.recolour does not exist" in refusal(read_config, workdir)


@pytest.mark.parametrize("content", ["[]", "3", '{"data": 3}', "null"])
def test_what_is_no_config_is_refused(workdir, content):
  (workdir / "config.json").write_text(content)
  assert "is a group of settings" in refusal(read_config, workdir)


def test_a_weights_file_is_read(tmp_path):
  image, mask = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))
  params = HDNet(width=4).init(jax.random.key(0), image, mask)["params"]
  arrays = {
    name: np.asarray(leaf) for name, leaf in weights.flatten(params).items()
  }
  path = tmp_path / "w.safetensors"
  safetensors.numpy.save_file(arrays, path, METADATA)
  found = weights.load(path)
  assert found.model == ModelConfig(width=4)
  assert found.image_size == 64
  assert found.provenance["hdnet_jax"] == "0.1.0"
  jax.tree.map(np.testing.assert_array_equal, found.params, params)


NOW = """
from hdnet_jax.config import Config, flags_of

def get_config():
  return flags_of(Config())
"""


@pytest.mark.parametrize("name", RETIRED)
def test_a_flag_is_refused_with_what_replaced_it(tmp_path, name):
  file = tmp_path / "mine.py"
  file.write_text(NOW)
  override = f"--config.data.{name}=0.5"
  message = refusal(load_config, str(file), [override])
  assert f"config.data.{name} is of version 0.1" in message
  assert "config.data.composites" in message


@pytest.mark.parametrize(
  ("text", "name"),
  [
    (
      "from hdnet_jax.config import Config, DataConfig, flags_of\n"
      "def get_config():\n"
      "  return flags_of(Config(data=DataConfig(recolor_strength=0.5)))\n",
      "recolor_strength",
    ),
    (
      "from hdnet_jax.config import EVEN_RECOLORINGS\n"
      "def get_config():\n  return None\n",
      "EVEN_RECOLORINGS",
    ),
  ],
)
def test_a_config_file_is_refused_with_what_replaced_it(tmp_path, text, name):
  file = tmp_path / "mine.py"
  file.write_text(text)
  message = refusal(load_config, str(file), [])
  assert f"{file}: {name} is of version 0.1" in message


def test_a_config_file_without_recolouring_is_read(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(NOW)
  assert load_config(str(file), ["--config.epochs=3"]) == Config(epochs=3.0)
