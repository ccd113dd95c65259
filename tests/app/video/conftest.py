"""A clip, its mask, and where it is written."""

import pathlib

import pytest
from PIL import Image


@pytest.fixture
def source(tmp_path, make_clip) -> pathlib.Path:
  make_clip(tmp_path / "in.mp4")
  return tmp_path / "in.mp4"


@pytest.fixture
def output(tmp_path) -> pathlib.Path:
  return tmp_path / "out.mp4"


@pytest.fixture
def mask(tmp_path) -> pathlib.Path:
  from .clips import INSIDE  # which needs PyAV

  path = tmp_path / "mask.png"
  Image.fromarray(INSIDE).save(path)
  return path
