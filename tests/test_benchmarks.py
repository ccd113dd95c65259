"""The scripts of benchmarks/ run, on tiny sizes; nothing is timed."""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax import devices
from hdnet_jax.config import MeshConfig
from hdnet_jax.data.prepare.lists import read_lists
from hdnet_jax.model import conv_ops
from hdnet_jax.model.hdnet import HDNet

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"
NETWORK = ("--width", "2")
TRIPLETS = ("f_1_7_1.jpg", "f_1_7_2.jpg")


def start(script: str, *arguments) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, FOLDER / f"{script}.py", *map(str, arguments)],
    capture_output=True,
    text=True,
    env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
  )


def measure(script: str, path: pathlib.Path, *arguments) -> list[dict]:
  """The results in the JSON file, after checks of it and of the table."""
  file = path / "numbers.json"
  done = start(script, *arguments, "--json", file)
  assert done.returncode == 0, done.stderr
  text = file.read_text()
  assert str(path) not in text
  values = json.loads(text)
  assert values["machine"]["threads"] >= 1
  assert values["machine"]["jax"]
  table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
  assert len(table) == 2 + len(values["results"])
  assert not any("error" in row for row in values["results"])
  return values["results"]


def shapes_of(network: HDNet) -> dict:
  """Of its parameters."""
  image, mask = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))
  return jax.eval_shape(network.init, jax.random.key(0), image, mask)["params"]


@pytest.fixture
def load(monkeypatch):
  """A script as a module; its neighbours can be imported meanwhile."""
  monkeypatch.syspath_prepend(str(FOLDER))
  return importlib.import_module


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


@pytest.mark.slow
def test_scale(tmp_path):
  results = measure("scale", tmp_path, "--share", 0.002)
  steps = ["prepare, killed", "the rest", "evaluate"]
  assert [row["step"] for row in results] == steps
  assert sum(row["images"] for row in results[:2]) == 148
  assert results[1]["disk"] > 0
  assert all(max(row["memory"]) > 0 for row in results)


def test_the_data_set_of_the_scale_has_all_of_iharmony4s_files(tmp_path, load):
  scale = load("scale")
  train, test = (sum(s[k] for s in scale.SUBSETS.values()) for k in (0, 1))
  assert (train, test) == (65_742, 7_404)
  scale.SUBSETS = {"HCOCO": (5, 2, (48, 32)), "HFlickr": (3, 1, (40, 24))}
  assert scale.make_data(tmp_path, 1.0) == (8, 3)
  triplets, faults = read_lists(tmp_path, ("HCOCO", "HFlickr"))
  assert faults == []
  counts = {name: len(part) for name, part in triplets.items()}
  assert counts == {
    "HCOCO_train": 5,
    "HCOCO_test": 2,
    "HFlickr_train": 3,
    "HFlickr_test": 1,
  }


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


@pytest.fixture
def stop(load, monkeypatch, capsys):
  """Run a script that ends before it measures: its status and its text."""

  def run(script: str, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
      load(script).main()
    if isinstance(stopped.value.code, str):  # is printed; the status is 1
      return 1, stopped.value.code
    out, err = capsys.readouterr()
    return stopped.value.code, err or out

  return run


@pytest.fixture
def fails(stop):
  """The last line of a script's errors, which is all but for the usage."""

  def run(*arguments) -> str:
    status, text = stop(*arguments)
    assert status
    return text.splitlines()[-1]

  return run


def test_a_folder_without_a_profile(tmp_path, fails):
  line = fails("gpu_parts", tmp_path)
  assert line.startswith(f"{tmp_path} holds no profile")


def test_a_folder_without_the_authors_code(tmp_path, fails):
  for path in (tmp_path, tmp_path / "missing"):
    line = fails("memory", "--official", path)
    assert line.startswith(f"--official {path}: no clone of github.com/")
    assert "models/networks.py" in line


def test_official_without_pytorch(tmp_path, monkeypatch, load):
  official = load("official")
  for name in official.FILES:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(SystemExit, match="needs PyTorch") as stopped:
    official.check(tmp_path)
  assert isinstance(stopped.value.code, str)  # is printed; the status is 1


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


def test_a_file_that_cannot_be_written(tmp_path, fails):
  path = tmp_path / "missing" / "numbers.json"
  assert "there is no folder" in fails("memory", "--json", path)


def test_help_has_examples(stop):
  for script in ("memory", "growth", "startup"):
    status, text = stop(script, "--help")
    assert status == 0
    assert f"    python benchmarks/{script}.py --official HDNet" in text


# A loop that calls what communicates, also a part of what begins before it.
HLO = """
HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
}

%part.1 (p: bf16[2,8]) -> bf16[2,16] {
  %all-gather.1 = bf16[2,16]{1,0:T(2,128)(2,1)S(1)} all-gather(%p), \
channel_id=7, dimensions={1}, metadata={op_name="jit(step)/ld/gather"}
}

%part.2 (p: bf16[2,8]) -> bf16[2,16] {
  ROOT %all-gather.2 = bf16[2,16]{1,0:T(2,128)(2,1)} all-gather(%p), \
channel_id=7, dimensions={1}, metadata={op_name="jit(step)/ld/gather"}
}

%inner (p: s32[4]) -> s32[4] {
  %all-to-all = s32[4]{0:T(128)} all-to-all(%p), channel_id=3, dimensions={0}
}

%turn (t: (s32[], s32[4])) -> (s32[], s32[4]) {
  %x = s32[4]{0} fusion(%t), kind=kCustom, calls=%inner
  %y = bf16[2,16]{1,0} fusion(%t), kind=kCustom, calls=%part.1
}

%more (t: (s32[], s32[4])) -> pred[] {
  %x = pred[] constant(true)
}

ENTRY %main (p: f32[2,3]) -> f32[2,3] {
  %all-reduce.3 = (f32[2,3]{1,0:T(2,128)}, /*index=1*/pred[5]{0}) \
all-reduce(%p, %q), channel_id=1, to_apply=%add, \
metadata={op_name="jit(step)/sum"}
  %g = f32[2,3] get-tuple-element(%all-reduce.3), index=0
  %collective-permute-start = (bf16[2,1,8]{2,1,0}, bf16[2,1,8]{2,1,0}, \
u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%g), channel_id=2
  %done = bf16[2,1,8]{2,1,0} collective-permute-done(%collective-permute-start)
  %while = (s32[], s32[4]) while(%t), condition=%more, body=%turn
  %y = bf16[2,16]{1,0} fusion(%while), kind=kCustom, calls=%part.2
}
"""


def test_the_collectives_of_a_program(load):
  collectives = load("collectives")
  found = collectives.read(HLO)
  assert collectives.by_kind(found) == {
    "all-gather": [1, 2 * 16 * 2],
    "all-to-all": [1, 4 * 4],
    "all-reduce": [1, 2 * 3 * 4 + 5],
    "collective-permute": [1, 2 * 8 * 2],
  }
  assert [x.kind for x in found if x.looped] == ["all-to-all"]
  sources = {x.kind: x.source for x in found}
  assert sources["all-reduce"] == "jit(step)/sum"
  assert sources["all-gather"] == "jit(step)/ld/gather"


def test_the_largest_batch_is_on_a_line_through_two(load):
  compile_ = load("tpu_compile")

  def row(batch: int, temporary: int, **others) -> dict:
    memory = {"arguments": 30, "outputs": 20, "aliases": 20, "memory": 1000}
    case = {"config": "hdnet", "pod": "v5e-8", "program": "train"}
    case |= {"spatial": 1, "dtype": "bfloat16", "size": None, "width": None}
    sizes = {"batch": batch, "temporary": temporary, "mesh": [8, 1]}
    return case | memory | sizes | others

  rows = [row(8, 90), row(16, 170), row(8, 500, program="evaluation")]
  rows.append(rows[0] | {"batch": 200, "error": "Used 20G of 15G hbm"})
  # 30 + 10 + 10 * 96 = 1000; of 8 devices.
  assert compile_.largest_batch(rows[0], rows) == 96
  assert compile_.largest_batch(rows[2], rows) is None


def test_what_is_planned_for_pods_is_valid(load):
  compile_, programs = load("tpu_compile"), load("tpu_programs")
  arguments = {"config": None, "pod": None, "batch": None, "spatial": None}
  arguments |= {"program": compile_.PROGRAMS, "dtype": "bfloat16"}
  arguments |= {"size": None, "width": None}
  args = argparse.Namespace(**arguments)
  planned = [programs.Case(**case) for case in compile_.cases(args)]
  assert {case.config for case in planned} == {
    *("hdnet", "hdnet_lite", "hdnet_1024", "hdnet_2048")
  }
  for case in planned:
    config = case.make_config()
    assert config.model.dtype == "bfloat16"
    assert config.mesh.spatial == case.spatial
    # Photos have no composites; iHarmony4, of all that is planned, has.
    assert not config.data.makes_composites
  args.config, args.pod, args.batch = ["photos"], ["v5e-4"], [4]
  others = [programs.Case(**case) for case in compile_.cases(args)]
  assert [(case.program, case.batch) for case in others] == [
    ("train", 4),
    ("evaluation", 4),
  ]
  mesh = devices.make_mesh(MeshConfig(4))
  layers = programs.make_batch(others[1], others[1].make_config(), mesh)
  assert layers.keys() == {
    *("background", "object", "alpha", "index"),
    *("donor_object", "donor_alpha"),
  }


@pytest.fixture
def libtpu():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, though no TPU")


def gathered(found) -> list:
  """What is gathered of images; kernels, whose steps XLA splits, are not."""
  kernels = {leaf.shape for leaf in jax.tree.leaves(shapes_of(HDNet(width=2)))}
  return [
    array
    for x in found
    if x.kind == "all-gather"
    for array in x.arrays
    if array.shape not in kernels
  ]


@pytest.mark.slow
def test_a_training_step_compiles_for_a_pod_in_bands(tmp_path, libtpu, load):
  record, size = tmp_path / "tpu.jsonl", 32
  arguments = (
    *("tpu_compile", "--record", record, "--config", "hdnet_lite"),
    *("--pod", "v5e-4", "--program", "train", "--batch", 4, "--spatial", 2),
    *("--size", size, *NETWORK, "--text", tmp_path),
  )
  done = start(*arguments)
  assert done.returncode == 0, done.stdout + done.stderr
  (row,) = map(json.loads, record.read_text().splitlines())
  assert row["mesh"] == [2, 2]
  assert row["flops"] > 0
  assert 0 < row["temporary"] < row["memory"]
  # Gradients are summed, rows at the seams exchanged.
  assert row["collectives"]["all-reduce"][0] > 0
  assert row["collectives"]["collective-permute"][0] > 0
  (program,) = tmp_path.glob("*.txt")
  arrays = gathered(load("collectives").read(program.read_text()))
  # No image is gathered: LD's features, at an eighth of its size, are what is.
  assert max(x.size for x in arrays) == 2 * (size // 8) ** 2 * (8 * 2) * 4
  # What the file has is not compiled again.
  again = start(*arguments)
  assert again.returncode == 0
  assert len(record.read_text().splitlines()) == 1
  assert "hdnet_lite" in again.stdout
