"""The configs of the package and of configs/."""

import pathlib

import pytest

from hdnet_jax.app.config_file import load_config
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[1]
CONFIG_FILES = sorted((ROOT / "configs").glob("*.py"))


def load(path: pathlib.Path) -> Config:
  return load_config(str(path), [])


@pytest.mark.parametrize("path", CONFIG_FILES, ids=lambda path: path.stem)
def test_config_files(path):
  run = load(path)
  assert run == load_config(path.stem, [])  # the package's
  # Files of rows add the row's.
  assert f"{run.name}_".startswith(f"{path.stem}_")


def test_the_second_release_run_starts_from_the_first():
  first = load_config("release_lite", [])
  second = load_config("release_lite:full", [])
  # Where `hdnet train` leaves it by default.
  assert second.training.initial_weights == f"runs/{first.name}"
  assert second.model == first.model
  assert second.data == first.data
  assert first.training.half_size_epochs == first.epochs
  assert second.training.half_size_epochs == 0
  with pytest.raises(UserError, match="the rows are half, full"):
    load_config("release_lite:quarter", [])


def test_quickstart_needs_no_data():
  # The error about missing data names it as the way to train at once.
  run = load(ROOT / "configs/quickstart.py")
  assert run.data.source == "embedded"
  assert run.data.root == ""


@pytest.mark.parametrize("size", [1024, 2048])
def test_high_resolution_is_table_5s(size):
  run = load(ROOT / f"configs/hdnet_{size}.py")
  assert run.data.image_size == size
  assert run.data.subsets == ("HAdobe5k",)
  assert run.model == ModelConfig(remat=True)


@pytest.mark.parametrize(
  "name", ["hdnet", "hdnet_lite", "hdnet_1024", "hdnet_2048"]
)
def test_the_papers_configs_train_as_the_paper_says(name):
  run, paper = load(ROOT / f"configs/{name}.py"), Config()
  assert run.optimizer == paper.optimizer
  assert (run.epochs, run.min_area) == (paper.epochs, paper.min_area)
  assert run.data.source == "iharmony4"
