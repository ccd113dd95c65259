import re

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data.examples import open_image, read_image, read_mask
from hdnet_jax.errors import UserError
from hdnet_jax.images.transforms import inverse, turn

READERS = (read_image, read_mask)


def noise(rng, *shape: int) -> np.ndarray:
  return rng.integers(0, 256, shape, dtype=np.uint8)


def save(path, image: Image.Image):
  """The path, where `image` now is in its own mode."""
  image.save(path)
  with Image.open(path) as file:
    assert file.mode == image.mode
  return path


@pytest.mark.parametrize("size", [16, 40, 64])
def test_images_are_resized_as_pillow_does(tmp_path, rng, size):
  # Neither square nor a multiple of any size; smaller and larger than it.
  photo = Image.fromarray(noise(rng, 37, 53, 3))
  image = read_image(save(tmp_path / "photo.png", photo), size)
  expected = photo.resize((size, size), Image.Resampling.BILINEAR)
  assert image.shape == (size, size, 3)
  assert image.dtype == np.uint8
  np.testing.assert_array_equal(image, expected)


def test_images_are_antialiased(tmp_path):
  # Lines of one pixel become an even gray; without antialiasing they stay lines
  # or turn into one of the two colours.
  lines = np.zeros((64, 64, 3), np.uint8)
  lines[:, ::2] = 255
  image = read_image(save(tmp_path / "a.png", Image.fromarray(lines)), 16)
  np.testing.assert_allclose(image[:, 1:-1].astype(float), 127.5, atol=1.5)


def test_images_keep_their_pixels_at_their_own_size(tmp_path, rng):
  pixels = noise(rng, 24, 24, 3)
  path = save(tmp_path / "photo.png", Image.fromarray(pixels))
  np.testing.assert_array_equal(read_image(path, 24), pixels)


@pytest.mark.parametrize(
  ("mode", "suffix"),
  [("1", "png"), ("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg")],
)
def test_images_of_every_mode_become_rgb(tmp_path, mode, suffix):
  # Two flat halves: JPEG and palettes keep them.
  photo = Image.new("RGB", (32, 32), (255, 255, 255))
  photo.paste((0, 0, 0), (0, 0, 16, 32))
  path = save(tmp_path / f"photo.{suffix}", photo.convert(mode))
  image = read_image(path, 32)
  assert image.shape == (32, 32, 3)
  np.testing.assert_allclose(image, np.asarray(photo), atol=2)


def test_colors_survive_a_palette_and_an_alpha_channel(tmp_path):
  color = (200, 30, 90)
  photo = Image.new("RGB", (8, 8), color)
  for name, form in (
    ("palette", photo.quantize(4)),
    ("alpha", photo.convert("RGBA")),
  ):
    image = read_image(save(tmp_path / f"{name}.png", form), 8)
    assert {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()} == {color}


def test_masks_are_thresholded_at_half(tmp_path):
  gray = np.array([[0, 1, 126, 127, 128, 129, 254, 255]] * 8, np.uint8)
  mask = read_mask(save(tmp_path / "mask.png", Image.fromarray(gray)), 8)
  assert mask.shape == (8, 8, 1)
  assert mask.dtype == np.uint8
  np.testing.assert_array_equal(mask[..., 0], [[0] * 4 + [1] * 4] * 8)


def save_mask(path, mode: str) -> None:
  """A mask whose left half is the object, in a mode of PNG."""
  soft = np.zeros((8, 8), np.uint8)
  soft[:, :4] = 200
  light = Image.fromarray(soft)
  if mode == "I;16":
    Image.fromarray(soft.astype(np.uint16) * 257).save(path)
  elif mode == "alpha":  # white, and transparent outside
    image = Image.new("RGBA", (8, 8), (255, 255, 255, 255))
    image.putalpha(light)
    image.save(path)
  elif mode == "P":
    light.convert("RGB").quantize(4).save(path)
  elif mode == "1":
    light.convert("1", dither=Image.Dither.NONE).save(path)
  else:
    light.convert(mode).save(path)


@pytest.mark.parametrize(
  "mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "alpha"]
)
def test_masks_of_every_mode_are_0_and_1(tmp_path, mode):
  path = tmp_path / "mask.png"
  save_mask(path, mode)
  expected = np.zeros((8, 8, 1), np.uint8)
  expected[:, :4] = 1
  np.testing.assert_array_equal(read_mask(path, 8), expected)


@pytest.mark.parametrize("size", [8, 24, 64])
def test_masks_take_the_nearest_pixel(tmp_path, rng, size):
  region = rng.integers(0, 2, (30, 40), dtype=np.uint8)
  path = save(tmp_path / "mask.png", Image.fromarray(255 * region))
  # The pixel that the new pixel's centre falls into; never between two.
  rows, columns = (
    ((np.arange(size) + 0.5) * side / size).astype(int) for side in (30, 40)
  )
  np.testing.assert_array_equal(
    read_mask(path, size)[..., 0], region[np.ix_(rows, columns)]
  )


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_no_images_are_named(tmp_path, read):
  # test_checks.py has more of them.
  path = tmp_path / "a.png"
  with pytest.raises(UserError, match=re.escape(f"{path} does not exist")):
    read(path, 8)
  path.write_bytes(b"not an image")
  for other in (path, tmp_path):
    with pytest.raises(UserError, match=re.escape(f"{other} cannot be read")):
      read(other, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_photos_and_masks_are_upright(tmp_path, rng, orientation, suffix):
  photo, region = noise(rng, 24, 16, 3), rng.integers(0, 2, (24, 16)) > 0
  exif = Image.Exif()
  exif[0x0112] = orientation
  paths = []
  for name, pixels in (("photo", photo), ("mask", np.uint8(255 * region))):
    path = tmp_path / f"{name}.{suffix}"
    stored = Image.fromarray(turn(pixels, inverse(orientation)))
    options = {"lossless": True} if suffix == "webp" else {}
    stored.save(path, exif=exif, **options)
    paths.append(path)
  opened = open_image(paths[0])
  np.testing.assert_array_equal(opened, photo)
  if suffix != "tif":  # Pillow turns those itself
    assert opened.info.get("orientation", 1) == orientation
  side = 16
  upright = Image.fromarray(photo).resize((side, side), Image.BILINEAR)
  np.testing.assert_array_equal(read_image(paths[0], side), upright)
  mask = Image.fromarray(region).resize((side, side), Image.NEAREST)
  np.testing.assert_array_equal(read_mask(paths[1], side)[..., 0], mask)
