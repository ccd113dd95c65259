"""A small photo folder, a config that trains on it in seconds, train.py."""

import os
import pathlib
import shutil
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

from hdnet_jax import devices
from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig, only
from hdnet_jax.data.photos import split_of
from hdnet_jax.data.pipeline import ReadOptions, open_source
from hdnet_jax.training.batches import host_batches
from hdnet_jax.training.loop import train_and_evaluate
from hdnet_jax.training.state import make_optimizer, make_start
from hdnet_jax.training.step import make_train_step

ROOT = pathlib.Path(__file__).parents[2]
SPLITS = {"train": 10, "validation": 3, "test": 3}


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> pathlib.Path:
  root = tmp_path_factory.mktemp("photos")
  (root / "images").mkdir()
  (root / "masks").mkdir()
  rng = np.random.default_rng(0)
  missing, number, lines = dict(SPLITS), 0, ["image,mask\n"]
  while any(missing.values()):
    image, mask = f"images/p{number}.png", f"masks/p{number}.png"
    number += 1
    split = split_of(image)
    if not missing[split]:
      continue
    missing[split] -= 1
    smooth = np.kron(rng.integers(30, 220, (4, 4, 3)), np.ones((10, 10, 1)))
    Image.fromarray(smooth.astype(np.uint8)).save(root / image)
    region = np.zeros((40, 40), np.uint8)
    top, left = rng.integers(0, 20, 2)
    region[top : top + 18, left : left + 16] = 255
    Image.fromarray(region).save(root / mask)
    lines.append(f"{image},{mask}\n")
  (root / "manifest.csv").write_text("".join(lines))
  return root


@pytest.fixture
def config(photo_folder) -> Config:
  return make_config(photo_folder)


def make_config(photo_folder: pathlib.Path) -> Config:
  return Config(
    name="tiny",
    batch_size=8,
    eval_batch_size=8,
    epochs=5.0,  # 7 steps of 10 photos
    log_every=2,
    eval_every=4,
    save_every=2,
    model=ModelConfig(width=2),
    mesh=MeshConfig(data=1),  # one of eight devices
    data=DataConfig(
      source="photos",
      root=str(photo_folder),
      image_size=32,
      threads=2,
      # What compiles fast; tests/composites has all of them.
      composites=only("light", moved=0.5),
      evaluation_composites=only("light", moved=0.5),
    ),
  )


@pytest.fixture(scope="session")
def trained(photo_folder, tmp_path_factory) -> pathlib.Path:
  workdir = tmp_path_factory.mktemp("trained")
  train_and_evaluate(make_config(photo_folder), workdir)
  return workdir


@pytest.fixture
def finished(trained, tmp_path) -> pathlib.Path:
  """The workdir of a finished run of `config` on one device, to do with."""
  return shutil.copytree(trained, tmp_path / "finished")


class Stepper:
  """What the loop builds of a config, to take single steps."""

  def __init__(self, config: Config):
    self.mesh = devices.make_mesh(config.mesh)
    optimizer = make_optimizer(
      config.optimizer, SPLITS["train"] / config.batch_size
    )
    self.step = make_train_step(config, optimizer, self.mesh)
    self.start = make_start(config, optimizer, self.mesh)
    source = open_source(config.data, "train")
    self.batches = host_batches(config, source, ReadOptions())

  def put(self, batch):
    return devices.put(batch, self.mesh)

  def next_batch(self):
    return self.put(next(self.batches))


@pytest.fixture(scope="session")
def make_stepper():
  return Stepper


@pytest.fixture
def state(config, make_stepper):
  """That of a run before its first step, on one device."""
  return make_stepper(config).start()


CONFIG_FILE = """
from hdnet_jax import config

def get_config():
  return config.make_config_dict(config.Config.from_dict({values!r}))
"""


def start(
  config, folder: pathlib.Path, workdir: pathlib.Path, devices=1, flags=()
):
  """`python train.py` on `config`, as a user starts it."""
  file = folder / "tiny.py"
  file.write_text(CONFIG_FILE.format(values=config.to_dict()))
  return subprocess.Popen(
    [
      sys.executable,
      str(ROOT / "train.py"),
      f"--config={file}",
      f"--workdir={workdir}",
      *flags,
    ],
    cwd=folder,
    env={
      **os.environ,
      "PYTHONPATH": str(ROOT),
      "JAX_NUM_CPU_DEVICES": str(devices),
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def wait_for_step(process, workdir: pathlib.Path, step: int) -> None:
  """Return when the run has logged `step`, or fail with its output."""
  path, deadline = workdir / "metrics.jsonl", time.monotonic() + 300
  while time.monotonic() < deadline:
    if path.exists() and f'"step": {step},' in path.read_text():
      return
    if process.poll() is not None:
      pytest.fail(f"ended before step {step}:\n{process.stdout.read()}")
    time.sleep(0.01)
  process.kill()
  pytest.fail(f"no step {step} in 300 s")


def finish(process) -> str:
  output, _ = process.communicate(timeout=300)
  assert process.returncode == 0, output
  return output


@pytest.fixture(scope="session")
def program() -> types.SimpleNamespace:
  """`train.py` as a process: start, wait_for_step, finish."""
  return types.SimpleNamespace(
    start=start, wait_for_step=wait_for_step, finish=finish
  )
