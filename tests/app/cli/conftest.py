"""The command `hdnet`, run in this process, and files for it."""

import io
import logging
import pathlib
import sys
import types

import absl.logging
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app.cli import main

HEIGHT, WIDTH = 40, 56


def save_pair(folder: pathlib.Path, name: str, seed: int = 0) -> None:
  """NAME in folder/images and folder/masks, the object in the middle."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(40, 220, (5, 7, 3)).repeat(8, 0).repeat(8, 1)
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[10:30, 12:40] = 255
  for kind, pixels in (("images", coarse.astype(np.uint8)), ("masks", mask)):
    path = folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  save_pair(tmp_path, "a.png")
  return tmp_path


@pytest.fixture
def pair(folder) -> tuple[pathlib.Path, pathlib.Path]:
  return folder / "images/a.png", folder / "masks/a.png"


@pytest.fixture
def flags(folder) -> list:
  """Of the whole folder, to folder/out."""
  return [
    *("--input-dir", folder / "images", "--mask-dir", folder / "masks"),
    *("--output-dir", folder / "out"),
  ]


def pixels(path: pathlib.Path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


@pytest.fixture
def hdnet(network):
  """Runs the command; `status` is 0 where it ends well."""

  def run(*arguments, given=network, status=0, command="harmonize"):
    words = [command, *map(str, arguments)]
    if given:
      words += ["--weights", str(given)]
    if not status:
      main.main(words)
      return
    with pytest.raises(SystemExit) as stopped:
      main.main(words)
    assert stopped.value.code == status

  return run


@pytest.fixture(autouse=True)
def restored_logging():
  """Undo what `hdnet train` and `hdnet evaluate` set in this process."""
  names = (None, "absl", "asyncio", "hdnet_jax")
  loggers = [logging.getLogger(name) for name in names]
  before = [(logger.level, logger.handlers[:]) for logger in loggers]
  verbosity = absl.logging.get_verbosity()
  yield
  absl.logging.set_verbosity(verbosity)
  for logger, (level, handlers) in zip(loggers, before, strict=True):
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def through_streams(hdnet, monkeypatch):
  """Runs the command on a file as stdin; returns what it writes to stdout."""

  def run(path: pathlib.Path, *arguments, **values) -> bytes:
    stdin, sent = io.BytesIO(path.read_bytes()), io.BytesIO()
    with monkeypatch.context() as patch:
      patch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
      patch.setattr(sys, "stdout", types.SimpleNamespace(buffer=sent))
      hdnet(*arguments, "-o", "-", **values)
    return sent.getvalue()

  return run
