"""A file of rows, and the folder of their finished runs."""

import pathlib

import pytest

from .runs import CONFIG_FILE, ROWS, SHARED, images, save_run


@pytest.fixture
def config_file(tmp_path) -> pathlib.Path:
  path = tmp_path / "rows.py"
  values = SHARED.to_dict()
  path.write_text(CONFIG_FILE.format(rows=ROWS, shared=values))
  return path


@pytest.fixture
def workdir(tmp_path) -> pathlib.Path:
  folder = tmp_path / "runs"
  none = {"local_dynamics": "none", "global_dynamics": "none"}
  save_run(folder / "base", images([30, 31, 32, 33]), **none)
  save_run(folder / "hdnet", images([31, 31.5, 32, 34], [1.0, 1.0, 2.0, 2.0]))
  save_run(folder / "k3", images([32, 32, 32, 34]), neighbors=3)
  return folder
