"""The scripts that measure run."""

import argparse
import importlib.util
import json
import os
import pathlib
from unittest import mock

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig
from hdnet_jax.model import conv_ops
from hdnet_jax.model.hdnet import HDNet

from .conftest import FOLDER, NETWORK, measure, shapes_of, start

TRIPLETS = ("f_1_7_1.jpg", "f_1_7_2.jpg")


def programs() -> list[str]:
  return ["jax", *(["onnx"] if importlib.util.find_spec("onnxruntime") else [])]


@pytest.fixture
def photos(tmp_path, rng) -> pathlib.Path:
  """Two triplets, as iHarmony4 is published."""
  root = tmp_path / "photos"
  for name, shape in (
    *((f"composite_images/{name}", (20, 30, 3)) for name in TRIPLETS),
    ("masks/f_1_7.png", (20, 30)),
    ("real_images/f_1.jpg", (20, 30, 3)),
  ):
    file = root / "HFlickr" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file)
  (root / "IHD_train.txt").write_text(
    "".join(f"HFlickr/composite_images/{name}\n" for name in TRIPLETS)
  )
  return root


def test_cpu_latency(tmp_path):
  results = measure(
    "cpu_latency", tmp_path, "--size", 16, *NETWORK, "--runs", 2
  )
  assert [row["program"] for row in results] == programs()
  for row in results:
    assert len(row["seconds"]) == 2
    assert 0 < row["quantile_10"] <= row["median"] <= row["quantile_90"]


@pytest.mark.slow
def test_memory(tmp_path):
  results = measure(
    "memory", tmp_path, "--inference", 16, "--train", 16, *NETWORK
  )
  assert [row["kind"] for row in results] == [*programs(), "jax", "remat"]
  assert all(row["peak"] >= row["before"] > 0 for row in results)


@pytest.mark.slow
def test_growth(tmp_path):
  figure = tmp_path / "growth.png"
  results = measure(
    "growth",
    tmp_path,
    *("--size", 16, 32, "--share-size", 16, "--shares", 0.5),
    *("--rounds", 1, "--runs", 1, *NETWORK, "--figure", figure),
  )
  points = [(16, 0.1), (32, 0.1), (16, 0.5)]
  assert [(row["size"], row["share"]) for row in results] == [
    point for point in points for _ in programs()
  ]
  values = json.loads((tmp_path / "numbers.json").read_text())
  assert set(values["exponents"]) == set(programs())
  with Image.open(figure) as image:
    assert image.size == (1500, 1125)


@pytest.mark.slow
def test_train_step(tmp_path):
  results = measure(
    *("train_step", tmp_path, "--size", 16, "--batch", 2),
    *("--steps", 2, *NETWORK),
  )
  assert [row["row"] for row in results] == [
    "composites given",
    "composites made",
    "new batches",
  ]


@pytest.mark.slow
def test_startup(tmp_path):
  results = measure("startup", tmp_path, "--size", 16, "--runs", 1, *NETWORK)
  rows = ["no cache", "empty cache", "warm cache", "engine onnxruntime"]
  rows.append("ONNX Runtime")
  assert [row["row"] for row in results] == rows[: 3 + len(programs())]
  for row in results:
    parts = [row[name]["median"] for name in ("import", "load", "first")]
    assert sum(parts) == pytest.approx(row["total"]["median"])


@pytest.mark.slow
def test_command(tmp_path, network):
  arguments = ("--size", "40x30", "--runs", 1, "--weights", network)
  results = measure("command", tmp_path, *arguments)
  assert [(row["from"], row["to"]) for row in results] == [
    ("jpg", "jpg"),
    ("jpg", "png"),
    ("png", "png"),
  ]
  assert all(row["median"] > 0 and row["peak"] > 0 for row in results)


@pytest.mark.slow
def test_folders(tmp_path, network):
  arguments = ("--photos", 3, "--megapixels", 0.002, 0.01, "--runs", 1)
  results = measure("folders", tmp_path, *arguments, "--weights", network)
  rows = ["onnxruntime, several at a time", "onnxruntime, one at a time"]
  assert [row["row"] for row in results] == rows
  assert all(row["median"] > 0 and row["peak"] > 0 for row in results)


def test_the_photos_of_a_folder_are_always_the_same(tmp_path, load):
  folders = []
  for name in ("a", "b"):
    (tmp_path / name).mkdir()
    total = load("folders").make_folder(tmp_path / name, 3, (0.002, 0.006))
    assert total == pytest.approx(0.012, rel=0.02)
    files = sorted(path for path in (tmp_path / name).rglob("*.*"))
    folders.append([path.read_bytes() for path in files])
  assert len(folders[0]) == 6
  assert folders[0] == folders[1]
  with Image.open(tmp_path / "a/images/001.jpg") as photo:
    assert photo.size == (55, 73)


def test_storage(tmp_path, photos):
  results = measure(
    *("input_pipeline", tmp_path, "--root", photos, "--source", "folder"),
    *("--size", 16, "--storage", "--passes", 1),
  )
  assert [row["row"] for row in results] == ["raw", "PNG", "WebP, lossless"]
  assert results[0]["bytes"] == 16 * 16 * 7


@pytest.mark.slow
def test_input_pipeline(tmp_path, photos):
  results = measure(
    *("input_pipeline", tmp_path, "--root", photos, "--source", "folder"),
    *("--size", 16, "--batch", 2, "--images", 4, "--passes", 1),
    *("--train", "--steps", 2, *NETWORK),
  )
  assert len(results) == 7
  assert 0 <= results[-1]["wait"] <= 1


@pytest.mark.slow
def test_gpu(tmp_path):
  # On whatever device there is: it has no shares on a CPU.
  results = measure(
    *("gpu", tmp_path, "--size", 16, "--batch", 2, "--inference", 16),
    *("--precision", "bfloat16", "--rounds", 2, *NETWORK),
    *("--trace", tmp_path / "trace"),
  )
  tasks = ["train", "photos", "inference"]
  assert [row["task"] for row in results] == tasks
  assert all(row["memory"] > 0 and len(row["seconds"]) == 2 for row in results)
  traces = {path.name for path in (tmp_path / "trace").iterdir()}
  assert traces == {f"{task}-2-16-2-bfloat16" for task in tasks[:2]}


def test_busy_threads(load):
  environment = load("environment")
  assert 0 <= environment.busy_threads() <= os.cpu_count()


def test_arithmetic(tmp_path):
  (row,) = measure("arithmetic", tmp_path, "--size", 8, "--width", 2)
  assert row["parameters"] == sum(
    leaf.size for leaf in jax.tree.leaves(shapes_of(HDNet(width=2)))
  )
  # The two gradients of a convolution cost what it does; the image has none.
  assert 2.5 < row["step"] / (12 * row["forward"]) <= 3


def test_layers(tmp_path):
  rows = measure(
    *("layers", tmp_path, "--size", 32, *NETWORK, "--peak", 64, "--runs", 2)
  )
  by_layer = {row["layer"]: row for row in rows}
  assert len(by_layer) == 11
  # 8x8 pixels of 16 channels in, 16 out, 3x3.
  assert by_layer["x4"]["gflop"] == 2 * 8 * 8 * 9 * 16 * 16 / 1e9
  # 4x4 pixels of 32 channels in, 16 out, 4x4.
  assert by_layer["y4"]["gflop"] == 2 * 4 * 4 * 16 * 32 * 16 / 1e9
  assert all(row[part] > 0 for row in rows for part in ("jax", "onnx", "peak"))


def time_a_layer(convolutions, args):
  convolutions.measure(args, *convolutions.LAYERS[0])


def time_all_layers(layers, args):
  layers.time_convolutions(args)


def time_forward_pass(evaluation, args):
  config = Config(
    eval_batch_size=args.batch,
    model=ModelConfig(width=args.width),
    data=DataConfig(image_size=args.size),
    mesh=MeshConfig(data=1),
  )
  photos = evaluation.EncodedPhotos(args.batch, args.size)
  # The evaluation beside it is the package's own program.
  with mock.patch.object(evaluation, "Evaluator"):
    evaluation.measure(config, photos, passes=1)


@pytest.mark.parametrize(
  ("script", "time"),
  [
    ("convolutions", time_a_layer),
    ("layers", time_all_layers),
    ("evaluation", time_forward_pass),
  ],
)
def test_what_is_timed_has_the_networks_compiler_options(
  script, time, load, monkeypatch
):
  """Without them convolutions use one core, and look slower than they are."""
  module = load(script)
  monkeypatch.setattr(
    load("programs").devices, "compiler_options", lambda _: {"no_such": "1"}
  )
  args = argparse.Namespace(size=16, batch=1, runs=1, width=2)
  with pytest.raises(jax.errors.JaxRuntimeError, match="no_such"):
    time(module, args)


def test_operations_by_hand(load):
  count = load("arithmetic").operations
  x, y = (
    jax.ShapeDtypeStruct((2, 3), "float32"),
    jax.ShapeDtypeStruct((3, 5), "float32"),
  )
  assert count(lambda x, y: x @ y, x, y) == 2 * (2 * 3 * 5)
  image = jax.ShapeDtypeStruct((1, 4, 6, 3), "float32")

  def kernel(size):
    return jax.ShapeDtypeStruct((size, size, 3, 5), "float32")

  assert count(conv_ops.plain_conv3x3, image, kernel(3)) == 2 * (4 * 6 * 5) * (
    9 * 3
  )
  assert count(conv_ops.plain_down_conv4x4, image, kernel(4)) == 2 * (
    2 * 3 * 5
  ) * (16 * 3)
  # Every input is multiplied by the whole kernel, whichever way one sums.
  assert count(conv_ops.plain_up_conv4x4, image, kernel(4)) == 2 * (
    4 * 6 * 3
  ) * (16 * 5)

  def three(x):
    return jax.lax.scan(lambda x, _: (x @ x, None), x, length=3)[0]

  square = jax.ShapeDtypeStruct((4, 4), "float32")
  assert count(three, square) == 3 * 2 * 4**3


def test_the_parts_of_a_profile(load):
  parts = load("gpu_parts")
  step = "jit(train_step)/"
  events = [
    parts.Event("conv", step + "jvp(HDNet)/y0/conv/dot", 0, 4),
    parts.Event("wgrad", step + "transpose(jvp(HDNet))/y0/conv/dot", 6, 9),
    parts.Event("loop", "", 8, 10),
  ]
  assert parts.sums(events, parts.part_of) == {
    "y0, forward": 4,
    "y0, backward": 3,
    "fused": 2,
  }
  assert parts.sums(events, parts.kernel_of)["wgrad"] == 3
  assert (parts.total(events), parts.idle(events)) == (10, 2)


@pytest.mark.slow
def test_browser(tmp_path, browser):
  del browser  # skips where there is none; the script starts its own
  if not (FOLDER.parent / "examples/web/node_modules").is_dir():
    pytest.skip("needs ONNX Runtime Web: npm install --prefix examples/web")
  done = start("browser", "--size", "64x48", "--runs", 1)
  assert done.returncode == 0, done.stderr
  size, *seconds = done.stdout.splitlines()[-1].split()
  assert size == "64x48"
  first, page, network, strength = map(float, seconds)
  assert 0 < network <= page
  assert strength >= 0
  assert first > 0
