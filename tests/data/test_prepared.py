"""The source of the prepared data set: exact, in order, safe to share."""

import concurrent.futures
import io
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app.cli import main
from hdnet_jax.data import prepared
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.pipeline import Reader, evaluation_batches
from hdnet_jax.data.prepare import builder, iharmony4
from hdnet_jax.data.prepared import PreparedIharmony4
from hdnet_jax.errors import UserError

from . import conftest


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  """The small data set, prepared at its own sizes. Not to be written to."""
  root = tmp_path_factory.mktemp("iharmony4")
  conftest.write_published(root)
  options = iharmony4.Options(workers=1)
  builder.build(root, root, "native", options)
  return root


def run_python(program: str, *arguments) -> str:
  return subprocess.run(
    [sys.executable, "-c", program, *map(str, arguments)],
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()


def same(one, other) -> bool:
  return one.keys() == other.keys() and all(
    np.array_equal(one[name], other[name]) for name in one
  )


def test_the_order_is_that_of_the_lists(root):
  # The lists go subset by subset, so both sources count alike.
  source, raw = (
    kind(root, "train", 20) for kind in (PreparedIharmony4, Iharmony4Folder)
  )
  assert len(source) == len(raw) == 32
  for index in range(len(raw)):
    assert source.name(index) == raw.name(index)
    assert source.subset(index) == raw.subset(index)
    assert same(source[index], raw[index])


def test_names_and_subsets_need_no_pixels(root, monkeypatch):
  source = PreparedIharmony4(root, "test", 20)

  def fail(*_):
    raise AssertionError("decoded")

  monkeypatch.setattr(prepared, "_decode", fail)
  assert source.name(0) == "p4_1_0"
  assert source.subset(len(source) - 1) == "Hday2night"


def test_a_name_reads_no_record(root, tmp_path, monkeypatch):
  sources = [PreparedIharmony4(root, "train", 20)]
  expected = [sources[0]._records[i]["name"].decode() for i in range(32)]
  # Of some subsets only; and as another process has it.
  sources.append(pickle.loads(pickle.dumps(sources[0])))
  some = PreparedIharmony4(root, "train", 20, ("HFlickr", "HCOCO"))
  subsets = [sources[0].subset(i) for i in range(32)]
  of_some = [
    name
    for name, subset in zip(expected, subsets, strict=True)
    if subset in ("HFlickr", "HCOCO")
  ]
  for source in (*sources, some):
    monkeypatch.setattr(source, "_records", None)
  for source in sources:
    assert [source.name(i) for i in range(32)] == expected
  assert [some.name(i) for i in range(len(of_some))] == of_some

  # One that was prepared before there were lists of names.
  old = shutil.copytree(root / "iharmony4", tmp_path / "iharmony4")
  for path in old.rglob("*_names.json"):
    path.unlink()
  source = PreparedIharmony4(tmp_path, "train", 20)
  assert [source.name(i) for i in range(32)] == expected


def test_it_can_be_sent_to_other_processes(root):
  source = PreparedIharmony4(root, "test", 20)
  source[0]  # its file is open now
  copy = pickle.loads(pickle.dumps(source))
  assert len(copy) == len(source)
  assert same(copy[3], source[3])
  assert copy.name(3) == source.name(3)


def test_it_can_be_read_from_threads(root):
  source = PreparedIharmony4(root, "train", 20)
  places = list(range(len(source))) * 4
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    examples = list(pool.map(source.__getitem__, places))
  assert [int(example["index"]) for example in examples] == places
  assert all(
    same(example, source[place])
    for place, example in zip(places, examples, strict=True)
  )


def test_batches(root):
  source = PreparedIharmony4(root, "test", 16)
  batches = list(
    evaluation_batches(source, range(len(source)), 3, Reader(threads=2))
  )
  assert len(batches) == 3  # of eight examples
  assert batches[0]["composite"].shape == (3, 16, 16, 3)
  assert batches[0]["mask"].dtype == np.uint8
  np.testing.assert_array_equal(batches[1]["real"][0], source[3]["real"])


def test_the_size_itself_comes_before_native(root):
  assert prepared.find_prepared(root, 256).parent.name == "native"
  folder = root / "iharmony4/256/1.0.0"
  folder.mkdir(parents=True)
  try:
    assert prepared.find_prepared(root, 256) == folder
  finally:
    folder.rmdir()
    folder.parent.rmdir()


def test_a_split_that_is_not_there(root):
  with pytest.raises(UserError, match=r"native.*HCOCO_train.*not HCOCO_dev"):
    PreparedIharmony4(root, "dev", 16)


def test_noise_survives_the_encoding(rng):
  photo = Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8))
  mask = Image.fromarray(rng.integers(0, 256, (33, 47), dtype=np.uint8))
  with Image.open(io.BytesIO(iharmony4._webp(photo, "native"))) as image:
    assert image.format == "WEBP"
    np.testing.assert_array_equal(image.convert("RGB"), photo)
  with Image.open(io.BytesIO(iharmony4._png(mask, "native"))) as image:
    assert image.mode == "1"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(mask) > 127)


def test_sides_that_webp_cannot_hold(tmp_path):
  folders = ("composite_images/a_1_1.png", "masks/a_1.png", "real_images/a.png")
  triplet = iharmony4.Triplet("HCOCO", *(f"HCOCO/{name}" for name in folders))
  for name in folders:
    path = tmp_path / "HCOCO" / name
    path.parent.mkdir(parents=True)
    Image.new("L", (16_384, 1), 255).save(path)
  encoder = iharmony4.Encoder(tmp_path, "native", 10**6)
  encoded, faults = encoder.encode(triplet)
  assert encoded is None
  assert {fault.kind for fault in faults} == {"too many pixels"}
  assert {fault.detail for fault in faults} == {"16384x1: a side is over 16383"}
  encoded, faults = iharmony4.Encoder(tmp_path, "256", 10**6).encode(triplet)
  assert encoded
  assert not faults


def test_tfds_is_loaded_by_those_who_read_it_only():
  program = """
import sys
import hdnet_jax.data.pipeline, hdnet_jax.data.prepared
print({"tensorflow_datasets", "tensorflow"} & set(sys.modules) or "none")
"""
  assert run_python(program) == "none"


def test_it_is_read_without_tensorflow_and_jax(root):
  program = """
import sys
from hdnet_jax.data.prepared import PreparedIharmony4
example = PreparedIharmony4(sys.argv[1], "test", 16)[0]
print(example["real"].shape, {"jax", "flax", "tensorflow"} & set(sys.modules))
"""
  assert run_python(program, root) == "(16, 16, 3) set()"


def test_the_command_says_that_it_is_there(root, capsys):
  arguments = ["prepare", "iharmony4", "--root", str(root)]
  main.main([*arguments, "--image-size", "native", "--subset", "HCOCO"])
  assert "is prepared already" in capsys.readouterr().out
