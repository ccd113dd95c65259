import re

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data.iharmony4 import Iharmony4Folder, parse_line
from hdnet_jax.errors import UserError

DAY2NIGHT = (
  "Hday2night/composite_images/d90000014-10_1_9.jpg",
  "Hday2night/masks/d90000014-10_1.png",
  "Hday2night/real_images/d90000014-10.jpg",
)


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
  triplet = parse_line(line, subset)
  return triplet.composite, triplet.mask, triplet.real


def write_list(root, content: bytes) -> None:
  (root / "IHD_train.txt").write_bytes(content)


def check_example(example, size: int, index: int) -> None:
  assert set(example) == {"composite", "real", "mask", "index"}
  for name in ("composite", "real"):
    assert example[name].shape == (size, size, 3)
    assert example[name].dtype == np.uint8
  assert example["mask"].shape == (size, size, 1)
  assert example["mask"].dtype == np.uint8
  assert set(np.unique(example["mask"])) <= {0, 1}
  assert example["index"].shape == ()
  assert example["index"].dtype == np.int32
  assert example["index"] == index


@pytest.mark.parametrize(
  "line",
  [
    "Hday2night/composite_images/d90000014-10_1_9.jpg",
    "Hday2night/d90000014-10_1_9.jpg",
    "Hday2night\\composite_images\\d90000014-10_1_9.jpg",
    "Hday2night/composite_images/d90000014-10_1_9.jpg\r\n",
    "  Hday2night/composite_images/d90000014-10_1_9.jpg ",
  ],
)
def test_files_of_every_spelling(line):
  assert files_of(line) == DAY2NIGHT


@pytest.mark.parametrize(
  ("line", "mask", "real"),
  [
    (
      "HCOCO/composite_images/c10_1259121_1.jpg",
      "HCOCO/masks/c10_1259121.png",
      "HCOCO/real_images/c10.jpg",
    ),
    # Names of photos hold underscores and dots.
    (
      "HAdobe5k/composite_images/a0001_x_y_1_3.jpg",
      "HAdobe5k/masks/a0001_x_y_1.png",
      "HAdobe5k/real_images/a0001_x_y.jpg",
    ),
    (
      "HFlickr/composite_images/f.800_1_2.png",
      "HFlickr/masks/f.800_1.png",
      "HFlickr/real_images/f.800.png",
    ),
  ],
)
def test_files_of_every_subset(line, mask, real):
  assert files_of(line) == (line, mask, real)


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
    check_example(source[index], 16, index)
  assert [source.name(index) for index in range(2)] == ["f_1_7_1", "f_1_7_2"]
  assert source.subset(0) == "HFlickr"
  np.testing.assert_array_equal(source[0]["real"], source[1]["real"])
  np.testing.assert_array_equal(source[0]["mask"], source[1]["mask"])
  assert np.any(source[0]["composite"] != source[1]["composite"])
  assert np.any(source[0]["composite"] != source[0]["real"])


def test_examples_are_the_files(root):
  example = Iharmony4Folder(root, "train", 24)[1]
  for name, file in (
    ("composite", "HFlickr/composite_images/f_1_7_2.jpg"),
    ("real", "HFlickr/real_images/f_1.jpg"),
  ):
    with Image.open(root / file) as image:
      expected = image.resize((24, 24), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(example[name], expected)


def test_missing_data(tmp_path, monkeypatch):
  # Relative, as in configs/: the message says where that is.
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as info:
    Iharmony4Folder("data/iharmony4", "train", 16)
  message = str(info.value)
  assert str(tmp_path / "data/iharmony4") in message
  assert "IHD_train.txt is missing" in message
  assert "Download the data set" in message
  assert "--config.data.root" in message
  assert "python train.py --config=configs/quickstart.py" in message


def test_missing_split(root):
  with pytest.raises(UserError, match=r"IHD_test\.txt is missing"):
    Iharmony4Folder(root, "test", 16)


def test_empty_list(root):
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
    check_example(example, 32, index)
    assert 0 < example["mask"].mean() < 1
    # The foreground was changed; the background only by JPEG's rounding.
    difference = np.abs(example["composite"] - example["real"].astype(float))
    inside = example["mask"][..., 0] == 1
    assert difference[inside].mean() > 2 * difference[~inside].mean()
  assert {source.subset(i) for i in range(count)} == {"HAdobe5k", "HCOCO"}


@pytest.mark.parametrize(
  "line",
  ["f_1_7_1.jpg", "composite_images/f_1_7_1.jpg\r", "HFlickr/f_1_7_1.jpg"],
)
def test_lines_of_a_subsets_own_list(line):
  assert files_of(line, "HFlickr") == (
    "HFlickr/composite_images/f_1_7_1.jpg",
    "HFlickr/masks/f_1_7.png",
    "HFlickr/real_images/f_1.jpg",
  )


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
