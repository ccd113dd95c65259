"""`hdnet prepare photos`: pairs found, checked and written down."""

import csv
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.atomic_write import open_text
from hdnet_jax.data import examples
from hdnet_jax.data.photos import PhotoFolder, read_manifest, split_of
from hdnet_jax.data.prepare import checks

from . import conftest


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  """Three photos, the first with two objects; no manifest."""
  root = tmp_path / "photos"
  (root / "images").mkdir(parents=True)
  (root / "masks").mkdir()
  rng = np.random.default_rng(0)
  for name in ("a.jpg", "b_c.png", "d.jpg"):
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "images" / name)
  for name in ("a_1", "a_2", "b_c", "d"):
    mask = np.zeros((20, 30), np.uint8)
    mask[:10, :15] = 255
    Image.fromarray(mask).save(root / f"masks/{name}.png")
  return root


def prepare(root, *flags, status: int = 0) -> None:
  arguments = ("prepare", "photos", "--root", root, "--workers", 1, *flags)
  conftest.run(*arguments, status=status)


def manifest(root) -> list[dict]:
  with (root / "manifest.csv").open(newline="") as file:
    return list(csv.DictReader(file))


def test_masks_find_their_photos(folder, capsys):
  prepare(folder)
  rows = manifest(folder)
  assert [(row["image"], row["mask"]) for row in rows] == [
    ("images/a.jpg", "masks/a_1.png"),
    ("images/a.jpg", "masks/a_2.png"),
    ("images/b_c.png", "masks/b_c.png"),
    ("images/d.jpg", "masks/d.png"),
  ]
  for row in rows:
    assert (row["width"], row["height"]) == ("30", "20")
    assert float(row["foreground_fraction"]) == 0.25
  assert "4 objects of 3 photos" in capsys.readouterr().out
  split = split_of("images/a.jpg")
  assert len(PhotoFolder(folder, split, 16)) >= 2


@pytest.mark.parametrize(
  "mask", ["a_mask", "a-matte", "a.jpg", "a_3_mask", "a_mask_3", "A", "mask_a"]
)
def test_masks_as_tools_name_them(folder, mask):
  (folder / "masks/d.png").rename(folder / f"masks/{mask}.png")
  (folder / "images/d.jpg").unlink()
  prepare(folder)
  pairs = {row["mask"]: row["image"] for row in manifest(folder)}
  assert pairs[f"masks/{mask}.png"] == "images/a.jpg"


def test_an_existing_manifest_keeps_its_columns(folder):
  (folder / "manifest.csv").write_text(
    'image,mask,source,terms\nimages/d.jpg,masks/d.png,mine,"free, all"\n'
  )
  prepare(folder)
  first, *others = manifest(folder)
  assert first["image"] == "images/d.jpg"
  assert (first["source"], first["terms"]) == ("mine", "free, all")
  assert first["width"] == "30"
  assert len(others) == 3  # what lay there besides


def test_masks_find_the_photos_of_their_own_folder(folder):
  for name in ("images", "masks"):
    (folder / name / "trip").mkdir()
  Image.new("RGB", (8, 8)).save(folder / "images/trip/a.jpg")
  Image.new("L", (8, 8), 255).save(folder / "masks/trip/a_1.png")
  prepare(folder)
  pairs = {row["mask"]: row["image"] for row in manifest(folder)}
  assert pairs["masks/trip/a_1.png"] == "images/trip/a.jpg"
  assert pairs["masks/a_1.png"] == "images/a.jpg"


def test_two_photos_of_one_name(folder, capsys):
  Image.new("RGB", (30, 20)).save(folder / "images/a.png")
  prepare(folder, status=1)
  error = capsys.readouterr().err
  assert "1 fault: file without list entry (1)" in error
  assert "images/a.png" in error


def plant(root) -> set[tuple[str, str]]:
  cut = root / "images/d.jpg"
  cut.write_bytes(cut.read_bytes()[:-300])
  Image.new("L", (20, 30), 255).save(root / "masks/a_2.png")
  Image.new("L", (30, 20)).save(root / "masks/b_c.png")
  Image.new("RGB", (5, 5)).save(root / "images/alone.png")
  Image.new("L", (5, 5)).save(root / "masks/stray.png")
  (root / "manifest.csv").write_text(
    "image,mask\nimages/gone.jpg,masks/a_1.png\nimages/a.jpg,masks/a_1.png\n"
    "images/a.jpg,masks/a_1.png\n"
  )
  return {
    (examples.TRUNCATED, "images/d.jpg"),
    (checks.SIZES_DIFFER, "masks/a_2.png"),
    (checks.EMPTY_MASK, "masks/b_c.png"),
    (checks.UNLISTED, "images/alone.png"),
    (checks.UNLISTED, "masks/stray.png"),
    (checks.NO_FILE, "images/gone.jpg"),
    (checks.LISTED_TWICE, "masks/a_1.png"),
  }


def test_faults_leave_the_manifest_alone(folder, capsys):
  planted = plant(folder)
  before = (folder / "manifest.csv").read_bytes()
  prepare(folder, status=1)
  assert f"{len(planted)} faults: " in capsys.readouterr().err
  assert (folder / "manifest.csv").read_bytes() == before
  assert not (folder / "skipped.csv").exists()


def test_bad_pairs_are_left_out(folder):
  planted = plant(folder)
  prepare(folder, "--skip-bad")
  assert [row["mask"] for row in manifest(folder)] == ["masks/a_1.png"]
  with (folder / "skipped.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert {(row["kind"], row["file"]) for row in rows} == planted


def test_every_format_is_seen_and_what_is_not_read_is_told(folder, capsys):
  with Image.open(folder / "images/d.jpg") as image:
    image.save(folder / "images/d.gif")
  (folder / "images/d.jpg").unlink()
  with Image.open(folder / "masks/d.png") as image:
    image.save(folder / "masks/d.bmp")
  (folder / "masks/d.png").unlink()
  (folder / "images/e.psd").touch()
  (folder / "images/.hidden.psd").touch()
  prepare(folder)
  pairs = {row["mask"]: row["image"] for row in manifest(folder)}
  assert pairs["masks/d.bmp"] == "images/d.gif"
  error = capsys.readouterr().err
  assert "1 file is not in a format that is read: " in error
  assert "images/e.psd" in error


def test_every_name_is_taken_also_in_linked_folders(folder, capsys):
  names = (
    *(b"caf\xe9", "cafe\u0301".encode(), b"a" * 249, b"new\nline"),
    *(b"[bold]x", b":cat:", b"\x1b[31m", "\u2028".encode()),
  )
  linked = folder.parent / "linked"
  linked.mkdir()
  (folder / "images/more").symlink_to(linked)
  (folder / "masks/more").mkdir()
  for name in map(os.fsdecode, names):
    shutil.copy(folder / "images/d.jpg", linked / f"{name}.jpg")
    shutil.copy(folder / "masks/d.png", folder / f"masks/more/{name}.png")
  prepare(folder)
  pairs = {row["mask"]: row["image"] for row in read_manifest(folder)}
  for name in map(os.fsdecode, names):
    assert pairs[f"masks/more/{name}.png"] == f"images/more/{name}.jpg"
    assert split_of(f"{name}.jpg") in ("train", "validation", "test")
  for name in map(os.fsdecode, names):
    (linked / f"{name}.jpg").write_text("no image")
  capsys.readouterr()
  prepare(folder, "--skip-bad")  # of the manifest that it wrote
  error = capsys.readouterr().err
  for words in (
    *(r"caf\udce9.jpg", r"new\nline.jpg", "[bold]x.jpg", ":cat:.jpg"),
    *(r"\x1b[31m.jpg", r"\u2028.jpg"),
  ):
    assert words in error.encode("ascii", "backslashreplace").decode()
  with open_text(folder / "skipped.csv") as file:
    left_out = {row["file"] for row in csv.DictReader(file)}
  assert left_out == {f"images/more/{os.fsdecode(name)}.jpg" for name in names}


def test_accents_do_not_move_a_photo_to_another_split():
  for number in range(200):
    assert split_of(f"caf\u00e9{number}.jpg") == split_of(
      f"cafe\u0301{number}.png"
    )


def test_nothing_there(tmp_path, capsys):
  prepare(tmp_path, status=1)
  assert "has no photos; put them in" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", [3, 6])
def test_photos_that_are_turned_are_told(folder, capsys, orientation):
  path = folder / "images/d.jpg"
  exif = Image.Exif()
  exif[0x0112] = orientation
  with Image.open(path) as image:
    image.save(path, exif=exif)
  if orientation == 3:  # nothing tells if the mask is turned
    prepare(folder)
    said = capsys.readouterr().out
    assert "note: 1 photos are turned upright by their EXIF data" in said
    assert "images/d.jpg" in said
  else:
    prepare(folder, status=1)
    said = " ".join(capsys.readouterr().err.split())
    assert "size mismatch" in said
    assert "mask 30x20 as that is stored" in said
  mask = folder / "masks/d.png"
  with Image.open(mask) as image:
    image.save(mask, exif=exif)  # now it is turned with the photo
  prepare(folder)
  assert "note:" not in capsys.readouterr().out


def test_masks_in_colours_are_a_fault(folder, capsys):
  image = Image.new("RGB", (30, 20), "red")
  image.paste("white", (0, 0, 9, 9))
  image.save(folder / "masks/d.png")
  prepare(folder, status=1)
  assert "not a mask" in capsys.readouterr().err
