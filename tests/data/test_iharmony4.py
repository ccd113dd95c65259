"""Both sources of iHarmony4: exact, in the lists' order, safe to share."""

import concurrent.futures
import dataclasses
import io
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data import iharmony4
from hdnet_jax.data.iharmony4 import (
  Iharmony4Folder,
  PreparedIharmony4,
  parse_line,
)
from hdnet_jax.data.prepare import builder
from hdnet_jax.data.prepare import iharmony4 as prepare
from hdnet_jax.data.prepare.checks import Options
from hdnet_jax.errors import UserError

from . import conftest
from .conftest import check_example

PARTS = ("composite", "real", "mask")


@pytest.fixture
def root(tmp_path, rng):
  """Two examples of one photo, and lists with the line ends of Windows."""
  for name in (
    "HFlickr/composite_images/f_1_7_1.jpg",
    "HFlickr/composite_images/f_1_7_2.jpg",
    "HFlickr/masks/f_1_7.png",
    "HFlickr/real_images/f_1.jpg",
  ):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (20, 30) if "masks" in name else (20, 30, 3)
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
  write_list(
    tmp_path,
    b"HFlickr/composite_images/f_1_7_1.jpg\r\n"
    b"HFlickr/composite_images/f_1_7_2.jpg\r\n  \r\n\r\n",
  )
  return tmp_path


def files_of(line: str, subset: str = "") -> tuple[str, str, str]:
  return dataclasses.astuple(parse_line(line, subset))[1:]


def write_list(root, content: bytes) -> None:
  (root / "IHD_train.txt").write_bytes(content)


@pytest.mark.parametrize(
  ("line", "subset"),
  [
    ("Hday2night/composite_images/d90000014-10_1_9.jpg", ""),
    ("Hday2night/d90000014-10_1_9.jpg", ""),
    ("Hday2night\\composite_images\\d90000014-10_1_9.jpg", ""),
    ("Hday2night/composite_images/d90000014-10_1_9.jpg\r\n", ""),
    ("  Hday2night/composite_images/d90000014-10_1_9.jpg ", ""),
    # Of a subset's own list.
    ("d90000014-10_1_9.jpg", "Hday2night"),
    ("composite_images/d90000014-10_1_9.jpg\r", "Hday2night"),
    ("Hday2night/d90000014-10_1_9.jpg", "HFlickr"),
  ],
)
def test_files_of_every_spelling(line, subset):
  assert files_of(line, subset) == (
    "Hday2night/composite_images/d90000014-10_1_9.jpg",
    "Hday2night/masks/d90000014-10_1.png",
    "Hday2night/real_images/d90000014-10.jpg",
  )


@pytest.mark.parametrize(
  ("folder", "name", "mask", "real"),
  [
    ("HCOCO", "c10_1259121_1.jpg", "c10_1259121.png", "c10.jpg"),
    # Names of photos hold underscores and dots.
    ("HAdobe5k", "a0001_x_y_1_3.jpg", "a0001_x_y_1.png", "a0001_x_y.jpg"),
    ("HFlickr", "f.800_1_2.png", "f.800_1.png", "f.800.png"),
  ],
)
def test_files_of_every_subset(folder, name, mask, real):
  line = f"{folder}/composite_images/{name}"
  expected = line, f"{folder}/masks/{mask}", f"{folder}/real_images/{real}"
  assert files_of(line) == expected


@pytest.mark.parametrize(
  "line",
  ["c10_1_2.jpg", "HCOCO/composite_images/c10_2.jpg", "HCOCO/readme.txt", "x"],
)
def test_lines_that_name_no_composite(line):
  with pytest.raises(UserError, match=re.escape(repr(line))):
    parse_line(line)


def test_bad_line_in_a_list(root):
  write_list(root, b"HFlickr/composite_images/f_1_7_1.jpg\n<html>\n")
  with pytest.raises(UserError, match=r"IHD_train\.txt, line 2: '<html>'"):
    Iharmony4Folder(root, "train", 16)


def test_examples(root):
  source = Iharmony4Folder(root, "train", 16)
  assert len(source) == 2  # a blank line is none
  for index in range(2):
    check_example(source[index], 16, index, PARTS)
  assert [source.name(index) for index in range(2)] == ["f_1_7_1", "f_1_7_2"]
  assert source.subset(0) == "HFlickr"
  np.testing.assert_array_equal(source[0]["real"], source[1]["real"])
  np.testing.assert_array_equal(source[0]["mask"], source[1]["mask"])
  assert np.any(source[0]["composite"] != source[1]["composite"])
  for name, file in (
    ("composite", "HFlickr/composite_images/f_1_7_2.jpg"),
    ("real", "HFlickr/real_images/f_1.jpg"),
  ):
    with Image.open(root / file) as image:
      expected = image.resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(source[1][name], expected)


def test_missing_data(tmp_path, monkeypatch):
  # Relative, as in configs/: the message says where that is.
  monkeypatch.chdir(tmp_path)
  words = (
    rf"{tmp_path}/data/iharmony4: IHD_train\.txt is missing\. Download .* "
    r"--config\.data\.root .* hdnet train --config=quickstart"
  )
  with pytest.raises(UserError, match=words):
    Iharmony4Folder("data/iharmony4", "train", 16)


def test_missing_and_empty_lists(root):
  with pytest.raises(UserError, match=r"IHD_test\.txt is missing"):
    Iharmony4Folder(root, "test", 16)
  write_list(root, b"\n\n")
  with pytest.raises(UserError, match=r"IHD_train\.txt lists no image"):
    Iharmony4Folder(root, "train", 16)


def test_missing_image_is_named(root):
  (root / "HFlickr/masks/f_1_7.png").unlink()
  with pytest.raises(UserError, match=r"f_1_7\.png does not exist"):
    Iharmony4Folder(root, "train", 16)[0]


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("test", 7)])
def test_shared_samples(shared, split, count):
  source = Iharmony4Folder(shared / "data/iharmony4_samples", split, 32)
  assert len(source) == count
  for index in range(count):
    example = source[index]
    check_example(example, 32, index, PARTS)
    assert 0 < example["mask"].mean() < 1
    # The foreground was changed; the background only by JPEG's rounding.
    difference = np.abs(example["composite"] - example["real"].astype(float))
    inside = example["mask"][..., 0] == 1
    assert difference[inside].mean() > 2 * difference[~inside].mean()
  assert {source.subset(i) for i in range(count)} == {"HAdobe5k", "HCOCO"}


def test_own_lists_stand_in_for_the_whole(root):
  (root / "IHD_train.txt").rename(root / "HFlickr/HFlickr_train.txt")
  assert len(Iharmony4Folder(root, "train", 16)) == 2


def test_subsets(root):
  write_list(root, b"HCOCO/c_1_1.jpg\nHFlickr/f_1_7_1.jpg\nHCOCO/c_1_2.jpg\n")
  source = Iharmony4Folder(root, "train", 16, ("HFlickr",))
  assert [source.name(i) for i in range(len(source))] == ["f_1_7_1"]
  with pytest.raises(
    UserError, match="no subset HAdobe; it has HCOCO, HAdobe5k"
  ):
    Iharmony4Folder(root, "train", 16, ("HAdobe",))
  with pytest.raises(UserError, match="lists no image of Hday2night"):
    Iharmony4Folder(root, "train", 16, ("Hday2night",))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """The small data set, prepared at its own sizes. Not to be written to."""
  root = tmp_path_factory.mktemp("iharmony4")
  conftest.write_published(root)
  builder.build(root, root, "native", Options(workers=1))
  return root


def same(example, other) -> bool:
  return example.keys() == other.keys() and all(
    np.array_equal(example[name], other[name]) for name in example
  )


def test_names_and_subsets_need_no_records(prepared, tmp_path):
  root = shutil.copytree(prepared, tmp_path / "copy")
  published = Iharmony4Folder(root, "train", 20)
  expected = [published.name(i) for i in range(32)]
  subsets = [published.subset(i) for i in range(32)]
  whole = PreparedIharmony4(root, "train", 20)
  part = PreparedIharmony4(root, "train", 20, ("HFlickr", "HCOCO"))
  whole, part = pickle.loads(pickle.dumps((whole, part)))
  for path in root.rglob("*.array_record*"):
    path.unlink()
  assert [whole.name(i) for i in range(32)] == expected
  assert [whole.subset(i) for i in range(32)] == subsets
  pairs = list(zip(expected, subsets, strict=True))
  assert [(part.name(i), part.subset(i)) for i in range(len(part))] == [
    pair for pair in pairs if pair[1] in ("HFlickr", "HCOCO")
  ]


def test_names_of_older_data_sets_are_in_the_records(prepared, tmp_path):
  shutil.copytree(prepared / "iharmony4", tmp_path / "iharmony4")
  for path in tmp_path.rglob("*_names.json"):
    path.unlink()
  older = PreparedIharmony4(tmp_path, "test", 20)
  source = PreparedIharmony4(prepared, "test", 20)
  indices = range(len(source))
  assert [older.name(i) for i in indices] == [source.name(i) for i in indices]


def test_it_can_be_sent_to_other_processes(prepared):
  source = PreparedIharmony4(prepared, "test", 20)
  source[0]  # its file is open now
  copy = pickle.loads(pickle.dumps(source))
  assert len(copy) == len(source)
  assert same(copy[3], source[3])


def test_it_can_be_read_from_threads(prepared):
  source = PreparedIharmony4(prepared, "train", 20)
  places = list(range(len(source))) * 4
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    examples = list(pool.map(source.__getitem__, places))
  assert [int(example["index"]) for example in examples] == places
  assert all(
    same(example, source[place])
    for place, example in zip(places, examples, strict=True)
  )


def test_the_size_itself_comes_before_native(prepared, tmp_path):
  assert iharmony4.find_prepared(prepared, 256).parent.name == "native"
  for size in ("256", "native"):
    (tmp_path / f"iharmony4/{size}/1.0.0").mkdir(parents=True)
  assert iharmony4.find_prepared(tmp_path, 256).parent.name == "256"


def test_a_split_that_is_not_there(prepared):
  with pytest.raises(UserError, match=r"native.*HCOCO_train.*not HCOCO_dev"):
    PreparedIharmony4(prepared, "dev", 16)


def test_noise_survives_the_encoding(rng):
  photo = Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8))
  mask = Image.fromarray(rng.integers(0, 256, (33, 47), dtype=np.uint8))
  with Image.open(io.BytesIO(prepare.encode_image(photo, "native"))) as image:
    assert image.format == "WEBP"
    np.testing.assert_array_equal(image.convert("RGB"), photo)
  with Image.open(io.BytesIO(prepare.encode_mask(mask, "native"))) as image:
    assert image.mode == "1"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(mask) > 127)


def test_sides_that_webp_cannot_hold(tmp_path):
  folders = ("composite_images/a_1_1.png", "masks/a_1.png", "real_images/a.png")
  triplet = prepare.Triplet("HCOCO", *(f"HCOCO/{name}" for name in folders))
  for name in folders:
    path = tmp_path / "HCOCO" / name
    path.parent.mkdir(parents=True)
    Image.new("L", (16_384, 1), 255).save(path)
  encoded, faults = prepare.Encoder(tmp_path, "native", 10**6).encode(triplet)
  assert not encoded
  assert {fault.kind for fault in faults} == {"too many pixels"}
  assert {fault.detail for fault in faults} == {"16384x1: a side is over 16383"}
  encoded, faults = prepare.Encoder(tmp_path, "256", 10**6).encode(triplet)
  assert encoded
  assert not faults


PROGRAM = """
import sys
import hdnet_jax.data.iharmony4
assert "tensorflow_datasets" not in sys.modules
source = hdnet_jax.data.iharmony4.PreparedIharmony4(sys.argv[1], "test", 16)
print(source[0]["real"].shape, {"jax", "flax", "tensorflow"} & set(sys.modules))
"""


def test_only_readers_load_tfds_and_none_tensorflow_or_jax(prepared):
  command = [sys.executable, "-c", PROGRAM, str(prepared)]
  output = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
  assert output == "(16, 16, 3) set()\n"
