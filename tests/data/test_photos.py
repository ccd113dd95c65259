import collections
import csv
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data.photos import (
  EmbeddedPhotos,
  PhotoFolder,
  read_manifest,
  segment_masks,
  split_of,
  squares,
)
from hdnet_jax.errors import UserError

from .conftest import check_example

SPLITS = ("train", "validation", "test")

# Photos must never move to another split, in any process.
GOLDEN_SPLITS = {
  "images/bsds500_100007.jpg": "train",
  "images/a.jpg": "train",
  "images/p035.jpg": "test",
  "images/p046.jpg": "test",
  "images/p050.jpg": "validation",
  "images/p093.jpg": "validation",
}


@pytest.fixture
def folder(tmp_path, rng):
  """A photo of every split, one of them with two objects."""
  rows = []
  for split in SPLITS:
    image = next(n for n, s in GOLDEN_SPLITS.items() if s == split)
    name = pathlib.Path(image).stem
    save(tmp_path / image, rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    for number in range(1 + (split == "train")):
      mask = f"masks/{name}_{number}.png"
      region = rng.integers(0, 2, (20, 30), dtype=np.uint8)
      save(tmp_path / mask, 255 * region)
      source = "walks" if split == "test" else ""
      rows.append({"image": image, "mask": mask, "source": source})
  write_manifest(tmp_path, rows)
  return tmp_path


def save(path: pathlib.Path, array: np.ndarray) -> None:
  path.parent.mkdir(exist_ok=True)
  Image.fromarray(array).save(path, quality=95)


def write_manifest(root, rows, encoding="utf-8") -> None:
  with (root / "manifest.csv").open("w", newline="", encoding=encoding) as file:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


def test_folder_pairs_photos_with_their_masks(folder):
  source = PhotoFolder(folder, "train", 24)
  assert len(source) == 2
  with Image.open(folder / "images/bsds500_100007.jpg") as file:
    photo = file.resize((24, 24), Image.Resampling.BILINEAR)
  for index in range(2):
    check_example(source[index], 24, index)
    assert source.name(index) == f"bsds500_100007_{index}"
    assert source.subset(index) == "photos"  # for want of a source
    path = folder / f"masks/bsds500_100007_{index}.png"
    with Image.open(path) as file:
      mask = file.resize((24, 24), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(source[index]["real"], photo)
    np.testing.assert_array_equal(
      255 * source[index]["mask"][..., 0], np.asarray(mask)
    )
  for split in ("validation", "test"):
    assert len(PhotoFolder(folder, split, 16)) == 1
  assert PhotoFolder(folder, "test", 16).subset(0) == "walks"


def test_manifest_needs_no_source_and_ignores_other_columns(folder):
  rows = [
    {"license": "mine", "mask": row["mask"], "image": row["image"]}
    for row in read_manifest(folder)
  ]
  write_manifest(folder, rows)
  source = PhotoFolder(folder, "test", 16)
  assert len(source) == 1
  assert source.subset(0) == "photos"
  check_example(source[0], 16, 0)


def test_manifest_may_come_from_a_spreadsheet(folder):
  # They write a byte order mark.
  rows = read_manifest(folder)
  write_manifest(folder, rows, encoding="utf-8-sig")
  assert read_manifest(folder) == rows


def test_missing_manifest(tmp_path):
  with pytest.raises(UserError, match=rf"{tmp_path}/.* --config\.data\.root"):
    PhotoFolder(tmp_path, "train", 16)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("image,source\na,b\n", "column mask in"),
    ("mask,source\na,b\n", "column image in"),
    ("Image,Mask\na,b\n", "column image and mask in"),
    ("", "column image and mask in"),
    *(
      (f"image,mask\na.jpg,a.png\n{line}\n", "manifest.csv, line 3")
      for line in ("images/a.jpg", "images/a.jpg,", ",m.png")
    ),
  ],
)
def test_manifests_that_are_refused(tmp_path, text, message):
  (tmp_path / "manifest.csv").write_text(text)
  with pytest.raises(UserError, match=re.escape(message)):
    PhotoFolder(tmp_path, "train", 16)


def test_empty_split(folder):
  rows = [r for r in read_manifest(folder) if split_of(r["image"]) == "train"]
  write_manifest(folder, rows)
  with pytest.raises(UserError, match=r"no photo in the split 'test'.*add"):
    PhotoFolder(folder, "test", 16)
  with pytest.raises(UserError, match="'dev' of train, validation and test"):
    PhotoFolder(folder, "dev", 16)


def test_photo_that_is_gone_is_named(folder):
  (folder / "images/bsds500_100007.jpg").unlink()
  with pytest.raises(UserError, match=r"bsds500_100007\.jpg does not exist"):
    PhotoFolder(folder, "train", 16)[0]


def test_a_mask_of_another_size_than_its_photo_is_named(folder):
  # As that of a turned photo's stored pixels, in an older manifest.
  photos = PhotoFolder(folder, "train", 16)
  mask = folder / f"masks/{photos.name(0)}.png"
  with Image.open(mask) as stored:
    w, h = stored.size
    stored.crop((0, 0, w, h - 1)).save(mask)
  with pytest.raises(
    UserError, match=rf"{mask.name} is {w}x{h - 1}, .* {w}x{h}"
  ):
    photos[0]


@pytest.mark.parametrize(("name", "split"), GOLDEN_SPLITS.items())
def test_golden_splits(name, split):
  assert split_of(name) == split
  # Neither the folder nor the format of a photo matters.
  assert split_of(f"{pathlib.Path(name).stem}.png") == split


def test_photos_of_a_fixed_camera_stay_together():
  times = [
    f"2019{m:02d}{d:02d}-1530{m:02d}" for m in range(1, 13) for d in (1, 9)
  ]
  splits = set()
  for camera in range(60):
    found = {split_of(f"images/cam{camera}-{time}.jpg") for time in times}
    assert len(found) == 1
    splits |= found
  assert splits == set(SPLITS)


def test_other_numbers_at_the_end_are_no_time_stamps():
  names = [f"images/walk-{n:08d}-12.jpg" for n in range(200)]
  assert len({split_of(name) for name in names}) > 1


def test_shares_of_the_splits():
  counts = collections.Counter(split_of(f"images/{n}.jpg") for n in range(2000))
  assert set(counts) == set(SPLITS)
  # 50 and 25 per thousand, give or take three standard deviations.
  assert 70 <= counts["test"] <= 130
  assert 29 <= counts["validation"] <= 71


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", [32, 64])
def test_embedded_examples(split, size):
  source = EmbeddedPhotos(split, size)
  assert len(source) > 100
  for index in range(len(source)):
    example = source[index]
    check_example(example, size, index)
    assert 0.03 <= example["mask"].mean() <= 0.45
  names = [source.name(index) for index in range(len(source))]
  assert len(set(names)) == len(names)


def test_embedded_splits_share_no_photo():
  photos_of = {
    split: {source.subset(index) for index in range(len(source))}
    for split in SPLITS
    for source in [EmbeddedPhotos(split, 32)]
  }
  assert photos_of == {
    "train": {"coffee", "motorcycle_left"},
    "validation": {"astronaut"},
    "test": {"chelsea", "rocket"},
  }


def test_squares_cover_all_of_a_photo():
  # At every scale, from edge to edge.
  for width, height in ((512, 512), (600, 400), (741, 500), (400, 600)):
    boxes = list(squares(width, height))
    for side in {right - left for left, _, right, _ in boxes}:
      covered = np.zeros((height, width), bool)
      for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert bottom - top == right - left
        if right - left == side:
          covered[top:bottom, left:right] = True
      assert covered.all()


def test_unknown_embedded_split():
  with pytest.raises(UserError, match=r"'dev'.*train, validation, test"):
    EmbeddedPhotos("dev", 32)


def test_masks_follow_edges():
  # A red square on blue: one of the masks is the square, but for its blurred
  # border.
  view = np.zeros((48, 48, 3), np.uint8)
  view[:] = (40, 60, 200)
  view[12:36, 12:36] = (220, 30, 30)
  truth = np.zeros((48, 48), bool)
  truth[12:36, 12:36] = True
  overlaps = [
    (mask[..., 0] & truth).sum() / (mask[..., 0] | truth).sum()
    for mask in segment_masks(view)
  ]
  assert max(overlaps) > 0.85


def test_bounds_of_masks_are_kept():
  view = EmbeddedPhotos("test", 32)[0]["real"]
  areas = [mask.mean() for mask in segment_masks(view, 0.1, 0.2)]
  assert areas
  assert all(0.1 <= area <= 0.2 for area in areas)


@pytest.mark.parametrize("split", SPLITS)
def test_shared_photos(shared, split):
  source = PhotoFolder(shared / "data/photos", split, 48)
  assert len(source) > 50
  index = len(source) // 2
  check_example(source[index], 48, index)
  assert 0 < source[index]["mask"].mean() < 1
  assert source.subset(index) != "photos"


def test_shared_photos_are_in_one_split_each(shared):
  root = shared / "data/photos"
  sources = [PhotoFolder(root, split, 48) for split in SPLITS]
  names = [source.name(i) for source in sources for i in range(len(source))]
  rows = read_manifest(root)
  assert sorted(names) == sorted(pathlib.Path(r["mask"]).stem for r in rows)
