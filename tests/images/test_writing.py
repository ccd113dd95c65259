"""Pictures that are written: what is encoded, and nothing half-written."""

import resource
import stat

import numpy as np
import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.images import color, writing
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import check_output, write_picture

from .conftest import half_mask, harmonized, samples_of


@pytest.mark.parametrize(
  ("mode", "dtype"),
  [
    *(("L", np.uint8), ("L", np.uint16), ("RGB", np.uint8)),
    *(("RGB", np.uint16), ("CMYK", np.uint8)),  # Pillow reads no others
  ],
)
def test_what_the_jpeg_encoder_gets_is_exact(rng, mode, dtype):
  samples = samples_of(mode, rng, dtype)
  own = None if mode == "RGB" else samples
  picture = Picture(color.to_rgb(samples), own=own)
  mask = half_mask()
  new = harmonized(picture, rng)
  image, notes = writing.prepare(picture, new, "JPEG", mask)
  if dtype == np.uint16:
    samples = np.rint(samples / 257).astype(np.uint8)
    assert "8 bits" in notes[0]
  assert np.array_equal(image.samples[mask == 0], samples[mask == 0])
  assert bool(notes) == (dtype == np.uint16)


@pytest.mark.parametrize(
  ("name", "quality", "words"),
  [
    ("a.gif", 95, r"choose one of \.jpg, \.jpeg, \.png"),
    ("a", 95, "extension"),
    ("old.png", 95, "--force"),
    ("link.png", 95, "--force"),
    ("folder.png", 95, "is a folder"),
    ("a.jpg", 95, "PNG, WebP or TIFF"),
    ("a.webp", 95, "16383 at most"),
    ("a.png", 0, "1 to 100"),
    ("a.png", 101, "1 to 100"),
    ("a\0.png", 95, "null character"),
  ],
)
def test_refused_before_anything_is_computed(tmp_path, name, quality, words):
  (tmp_path / "old.png").write_bytes(b"old")
  (tmp_path / "folder.png").mkdir()
  (tmp_path / "link.png").symlink_to("nowhere")
  pixels = np.zeros((1, 20000, 3), np.uint8)
  picture = Picture(pixels, alpha=pixels[..., 0])  # wide and transparent
  with pytest.raises(UserError, match=words):
    check_output(picture, tmp_path / name, quality)
  assert (tmp_path / "old.png").read_bytes() == b"old"


def test_arguments_that_do_not_fit_the_picture(tmp_path, picture):
  path = tmp_path / "a.png"
  with pytest.raises(ValueError, match="dtype"):
    write_picture(picture, picture.pixels / 255, path)
  with pytest.raises(ValueError, match="mask"):
    write_picture(picture, picture.pixels, path, mask=np.zeros((2, 2)))


def test_force_replaces_a_file(tmp_path, picture):
  path = tmp_path / "old.png"
  path.write_bytes(b"old")
  write_picture(picture, picture.pixels, path, force=True)
  assert np.array_equal(read_picture(path).pixels, picture.pixels)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_full_disk_leaves_nothing(tmp_path, picture, extension):
  path = tmp_path / "new" / "folder" / f"a.{extension}"
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
  try:
    with pytest.raises(UserError, match="cannot be written") as error:
      write_picture(picture, picture.pixels, path)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert str(path) in str(error.value)
  assert list(tmp_path.iterdir()) == []


def test_unwritable_places(tmp_path, picture):
  (tmp_path / "file").write_bytes(b"")
  for path in (tmp_path / "file" / "a.png", tmp_path / f"{'a' * 300}.png"):
    with pytest.raises(UserError, match="cannot be written"):
      write_picture(picture, picture.pixels, path)
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("extension", ["jpg", "webp"])
def test_quality_and_new_folders(tmp_path, extension):
  ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
  noise = np.random.default_rng(1).integers(0, 99, (64, 64, 3))
  picture = Picture((ramp[..., None] + noise).astype(np.uint8))
  sizes = []
  for quality in (20, 95, 100):
    path = tmp_path / "deep" / f"{quality}.{extension}"
    write_picture(picture, picture.pixels, path, quality=quality)
    sizes.append(path.stat().st_size)
    assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600
  assert sizes == sorted(sizes)
  if extension == "webp":
    assert np.array_equal(read_picture(path).pixels, picture.pixels)
