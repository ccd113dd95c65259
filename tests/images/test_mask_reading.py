"""Masks of every mode as weights of 0 to 1, and what is odd about them."""

import io

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.mask_reading import read_mask as read_with_notes
from hdnet_jax.images.reading import read_picture
from hdnet_jax.images.transforms import inverse, turn

from .conftest import image_bytes

SIZE = (6, 4)  # width, height


@pytest.fixture
def gray(rng):
  levels = rng.integers(0, 256, SIZE[::-1], np.uint8)
  levels[0, :2] = 0, 255
  return levels


def read_mask(*arguments, **options):
  return read_with_notes(*arguments, **options)[0]


def read(image, format="PNG", **options):
  return read_mask(image_bytes(image, format), SIZE, **options)


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA"])
def test_gray_in_any_mode(gray, mode):
  mask = read(Image.fromarray(gray).convert(mode))
  assert mask.dtype == np.float32
  assert np.array_equal(mask, gray.astype(np.float32) / 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_and_floats(gray, format):
  deep = gray.astype(np.uint16) * 257
  want = gray.astype(np.float32) / 255
  for dtype in (np.uint16, np.int32):
    if (format, dtype) != ("PNG", np.int32):
      mask = read(Image.fromarray(deep.astype(dtype)), format)
      np.testing.assert_allclose(mask, want, atol=1e-7)
  if format == "TIFF":
    assert np.array_equal(read(Image.fromarray(want), format), want)


def test_colours_of_jpeg_are_tolerated(gray):
  rough = np.repeat(gray[..., None], 3, -1).clip(10, 245)
  rough[..., 0] += 5
  mask = read(Image.fromarray(rough))
  assert np.array_equal(mask, rough[..., 1].astype(np.float32) / 255)


def test_what_is_transparent_is_background(gray, rng):
  gray = np.where(gray > 127, 255, 0).astype(np.uint8)
  gray[0, 2] = 250  # black and white, as masks are, but for their edges
  alpha = rng.integers(0, 256, gray.shape, np.uint8)
  both = Image.fromarray(np.dstack((gray, gray, gray, alpha)))
  want = (gray / 255) * (alpha / 255)
  np.testing.assert_allclose(read(both), want, atol=1e-6)
  # Colours that nobody sees do not matter.
  hidden = np.zeros((*gray.shape, 4), np.uint8)
  hidden[..., 0] = 255
  hidden[1, :3] = [[255] * 4, [90, 90, 90, 255], [0, 0, 0, 255]]
  mask = read(Image.fromarray(hidden))
  np.testing.assert_allclose(mask[1, :2], [1, 90 / 255], atol=1e-6)
  assert mask.sum() == pytest.approx(1 + 90 / 255)


def test_another_size_names_both(gray):
  data = image_bytes(Image.fromarray(gray))
  with pytest.raises(UserError, match=r"6x4 .* 12x8; .*--resize-mask"):
    read_mask(data, (12, 8))
  mask = read_mask(data, (12, 8), resize=True)
  assert mask.shape == (8, 12)
  assert 0 <= mask.min() < mask.max() <= 1


def test_resized_masks_keep_their_zeros():
  image = Image.new("L", (10, 10))
  image.paste(255, (0, 0, 5, 10))
  mask = read_mask(image_bytes(image), (40, 40), resize=True)
  assert np.all(mask[:, 24:] == 0)
  assert np.all(mask[:, :16] == 1)


def test_orientation_and_invert(gray):
  exif = Image.Exif()
  exif[0x0112] = 6
  data = image_bytes(Image.fromarray(gray), exif=exif.tobytes())
  mask = read_mask(data, SIZE[::-1], invert=True)
  want = 1 - np.rot90(gray, -1).astype(np.float32) / 255
  assert np.array_equal(mask, want)


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.5, float("inf")])
def test_floats_out_of_range(value):
  image = Image.new("F", SIZE, 0.5)
  image.putpixel((1, 1), value)
  with pytest.raises(UserError, match="NaN or not within 0 to 1"):
    read(image, "TIFF")


@pytest.mark.parametrize(
  ("level", "words"),
  [(0, "covers nothing"), (1, "100.0%"), (0.3, "nowhere more than 30.0%")],
)
def test_odd_masks_are_reported(level, words):
  mask = np.full((5, 5), level, np.float32)
  assert words in masks.report(mask, "invert it")


def test_common_masks_are_not_reported():
  mask = np.zeros((10, 10), np.float32)
  mask[2:5, 2:5] = 1
  assert masks.report(mask, "invert it") is None
  mask[:9] = 1
  assert masks.report(mask, "invert it") is None


@pytest.mark.parametrize("size", [(8, 16), (10, 4), (16, 16), (64, 64)])
def test_another_shape_is_never_stretched(size):
  data = image_bytes(Image.new("L", size, 255))
  with pytest.raises(UserError, match="of another shape") as caught:
    read_mask(data, (12, 16), resize=True)
  assert "--resize-mask" not in str(caught.value)
  with pytest.raises(UserError, match="turn the mask as the image is"):
    read_mask(image_bytes(Image.new("L", (16, 12))), (12, 16), resize=True)


@pytest.mark.parametrize("size", [(6, 8), (3, 4), (4, 5), (25, 33), (120, 160)])
def test_the_same_shape_but_for_rounding_is_resized(size):
  data = image_bytes(Image.new("L", size, 255))
  assert read_mask(data, (12, 16), resize=True).shape == (16, 12)


def turned_photo(levels, orientation, format="PNG"):
  """A file that is shown as `levels`, and what it stores."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  stored = turn(levels, inverse(orientation))
  file = io.BytesIO(image_bytes(Image.fromarray(stored), format, exif=exif))
  return file, stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_masks_of_turned_photos(gray, orientation, format):
  """The mask is upright, stored as the photo is, or turned by its own EXIF."""
  file, stored = turned_photo(gray, orientation, format)
  picture = read_picture(file)
  assert picture.orientation == orientation
  np.testing.assert_array_equal(picture.own, gray)

  def taken(data):
    mask, notes = read_with_notes(
      data, picture.size, orientation=picture.orientation
    )
    return mask * 255, [note.removeprefix("the image ") for note in notes]

  upright, notes = taken(image_bytes(Image.fromarray(gray)))
  np.testing.assert_allclose(upright, gray, atol=1e-4)
  assert len(notes) == (orientation in (2, 3, 4))  # nothing tells
  both, notes = taken(turned_photo(gray, orientation)[0].getvalue())
  np.testing.assert_allclose(both, gray, atol=1e-4)
  assert notes == []
  if orientation >= 5:
    as_stored, notes = taken(image_bytes(Image.fromarray(stored)))
    np.testing.assert_allclose(as_stored, gray, atol=1e-4)
    assert "is turned as that is" in notes[0]
    # Its pixels are upright, and a tool copied the photo's EXIF data to it.
    exif = Image.Exif()
    exif[0x0112] = orientation
    copied, notes = taken(image_bytes(Image.fromarray(gray), exif=exif))
    np.testing.assert_allclose(copied, gray, atol=1e-4)
    assert "not turned as its own EXIF data says" in notes[0]


def test_a_small_mask_of_the_stored_photo_is_turned_before_it_is_resized():
  levels = np.zeros((6, 4), np.uint8)
  levels[:3] = 255
  file, stored = turned_photo(levels.repeat(4, 0).repeat(4, 1), 6)
  mask = image_bytes(Image.fromarray(stored).resize((6, 4)))
  picture = read_picture(file)
  result = read_mask(mask, picture.size, resize=True, orientation=6)
  np.testing.assert_array_equal(result > 0.5, picture.own > 0)
