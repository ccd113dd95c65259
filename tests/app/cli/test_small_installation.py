"""What `pip install .` brings is enough to harmonize; the rest is told."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[3]
# Those of the extras, and what comes with them.
ABSENT = (
  *("absl", "av", "clu", "flax", "gradio", "grain", "jax", "jaxlib"),
  *("jaxtyping", "matplotlib", "ml_collections", "onnx", "optax", "orbax"),
  *("pandas", "scipy", "skimage", "tensorflow_datasets"),
)


@pytest.fixture
def run(tmp_path):
  """Runs Python in tmp_path as where the libraries of ABSENT are not."""
  start = tmp_path / "start"
  start.mkdir()
  (start / "sitecustomize.py").write_text(
    f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n"
  )
  path = os.pathsep.join([str(start), str(ROOT)])

  def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
      [sys.executable, *arguments],
      cwd=tmp_path,
      env={**os.environ, "PYTHONPATH": path},
      capture_output=True,
      text=True,
    )

  return run


@pytest.fixture
def hdnet(run):
  return lambda *arguments: run("-m", "hdnet_jax.app.cli.main", *arguments)


@pytest.fixture
def images(tmp_path) -> list[str]:
  y, x = np.mgrid[:60, :80]
  image = np.stack([3 * x, 4 * y, x + y], -1).astype(np.uint8)
  Image.fromarray(image).save(tmp_path / "a.png")
  Image.fromarray(np.hypot(y - 30, x - 40) < 20).save(tmp_path / "m.png")
  alpha = np.full((60, 80, 1), 255, np.uint8)
  alpha[:10] = 0
  cutout = Image.fromarray(np.concatenate([image, alpha], -1))
  cutout.resize((20, 15)).save(tmp_path / "c.png")
  return ["a.png", "m.png"]


def test_it_harmonizes(hdnet, images, tmp_path):
  for flags in ((), ("--feather=3", "--mode=direct", "--engine=onnxruntime")):
    result = hdnet("harmonize", *images, "-o", "o.png", "--force", *flags)
    assert (result.returncode, result.stderr) == (0, "")
    before, after = (Image.open(tmp_path / name) for name in ("a.png", "o.png"))
    assert (np.asarray(before) != np.asarray(after)).any()


def test_it_composes_and_exports(hdnet, images, tmp_path):
  for command in (
    "compose c.png a.png --at 10,10 -o composed.png",
    "export hdnet-lite lite.onnx",
    "harmonize a.png m.png --weights lite.onnx -o o.png",
  ):
    result = hdnet(*command.split())
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
  ("command", "words"),
  [
    ("train", "hdnet train needs JAX"),
    ("train --config=quickstart", '; pip install ".[train]"'),
    ("evaluate --config=quickstart", '; pip install ".[train]"'),
    ("show-examples --config=quickstart", '; pip install ".[train]"'),
    ("ablation --workdir=x", '; pip install ".[train]"'),
    ("scorecard hdnet-lite --photos x", '; pip install ".[train]"'),
    ("compare x y", '; pip install ".[train]"'),
    ("export-weights folder x.safetensors", '; pip install ".[train]"'),
    ("export hdnet-lite x.stablehlo --format=stablehlo", '".[train]"'),
    ("harmonize a.png m.png --engine=jax", "engine jax needs JAX"),
    ("harmonize a.png m.png --weights=folder", '; pip install ".[train]"'),
    ("harmonize-video a.mp4 m -o o.mp4", "needs PyAV, which is not installed"),
    ("demo", "hdnet demo needs Gradio, which is not installed; pip install"),
  ],
)
def test_what_is_missing_is_a_line(command, words, hdnet, images, tmp_path):
  (tmp_path / "folder").mkdir()
  before = sorted(path.name for path in tmp_path.rglob("*"))
  result = hdnet(*command.split())
  assert result.returncode in (1, 2)
  assert result.stderr.startswith("error: ")
  assert len(result.stderr.splitlines()) == 1, result.stderr
  assert words in result.stderr
  after = {path.name for path in tmp_path.rglob("*")}
  assert after - {*before, "__pycache__"} == set()


def test_the_python_interface_tells_it_too(run):
  for name in ("HDNet", "blend", "train_and_evaluate"):
    result = run("-c", f"import hdnet_jax; hdnet_jax.{name}")
    last = result.stderr.splitlines()[-1]
    assert f"MissingLibrary: hdnet_jax.{name} needs" in last
    assert last.endswith('which is not installed; pip install ".[train]"')
  result = run("-c", "import hdnet_jax; hdnet_jax.Harmonizer, hdnet_jax.Config")
  assert (result.returncode, result.stderr) == (0, "")
