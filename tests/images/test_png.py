"""PNG files with texts and profiles of any size, as ComfyUI writes them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hdnet_jax.data.examples import read_image, read_mask
from hdnet_jax.images import png
from hdnet_jax.images.mask_reading import read_mask as read_mask_file
from hdnet_jax.images.reading import read_picture
from hdnet_jax.images.writing import write_picture

from .conftest import image_bytes, png_chunk

LARGE = 3 * 2**20


def png_of(pixels, **chunks) -> bytes:
  """A PNG file with chunks before its pixels."""
  data = image_bytes(Image.fromarray(pixels))
  parts = [png_chunk(name.encode(), body) for name, body in chunks.items()]
  return b"".join([data[:33], *parts, data[33:]])


@pytest.fixture
def pixels(rng) -> np.ndarray:
  return rng.integers(0, 256, (12, 17, 3), np.uint8)


def large_texts(rng) -> dict[str, bytes]:
  text = bytes(rng.integers(97, 123, LARGE, np.uint8))
  return {
    "tEXt": b"workflow\0" + text,
    "zTXt": b"prompt\0\0" + zlib.compress(text),
    "iTXt": b"parameters\0\0\0\0\0" + text,
    "iCCP": b"ICC Profile\0\0" + zlib.compress(text),
  }


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_texts_and_profiles_of_any_size_are_read(tmp_path, pixels, rng, kind):
  chunks = large_texts(rng)
  data = png_of(pixels, **{kind: chunks[kind]})
  picture = read_picture(data)
  np.testing.assert_array_equal(picture.pixels, pixels)
  assert picture.notes == ()
  if kind == "iCCP":
    assert picture.metadata.icc == zlib.decompress(chunks["iCCP"][13:])
  path = tmp_path / "a.png"
  path.write_bytes(data)
  np.testing.assert_array_equal(
    read_image(path, 8),
    Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR),
  )
  mask = png_of(
    255 * (pixels[..., 0] > 99).astype(np.uint8), **{kind: chunks[kind]}
  )
  path.write_bytes(mask)
  assert read_mask(path, 8).any()
  np.testing.assert_array_equal(
    read_mask_file(mask, (17, 12))[0], pixels[..., 0] > 99
  )


@pytest.mark.parametrize("source", ["jpg", "tif", "webp", "png"])
@pytest.mark.parametrize("target", ["jpg", "tif", "webp", "png"])
def test_a_large_profile_survives_our_own_files(
  tmp_path, pixels, rng, source, target
):
  profile = bytes(rng.integers(0, 256, 2 * 2**20, np.uint8))
  profile = profile[:16] + b"RGB " + profile[20:]
  path, again = tmp_path / f"a.{source}", tmp_path / f"b.{target}"
  Image.fromarray(pixels).save(path, icc_profile=profile)
  picture = read_picture(path)
  assert write_picture(picture, picture.pixels, again) == ()
  assert read_picture(again).metadata.icc == profile


def test_what_is_too_large_or_damaged_is_left_out_with_a_note(pixels):
  bomb = zlib.compress(bytes(100 * 2**20))
  picture = read_picture(png_of(pixels, iCCP=b"a\0\0" + bomb))
  assert picture.metadata.icc is None
  assert picture.notes == (
    "the image has a damaged profile, which is left out.",
  )
  data = bytearray(png_of(pixels, tEXt=b"Comment\0some words"))
  data[data.index(b"words")] ^= 1  # the checksum is another
  picture = read_picture(bytes(data))
  assert picture.notes == ("the image has a damaged text, which is left out.",)
  np.testing.assert_array_equal(picture.pixels, pixels)


def test_texts_named_as_values_of_pillow_are_texts(pixels):
  for keyword in (b"exif", b"transparency", b"dpi", b"icc_profile", b"xmp"):
    picture = read_picture(png_of(pixels, tEXt=keyword + b"\0nonsense"))
    np.testing.assert_array_equal(picture.pixels, pixels)
    data = picture.metadata
    assert (picture.alpha, data.exif, data.icc, data.xmp) == (None,) * 4


def test_chunks_behind_the_pixels_and_what_is_no_png(pixels):
  info = PngImagePlugin.PngInfo()
  info.add_itxt("XML:com.adobe.xmp", "<x/>")
  data = image_bytes(Image.fromarray(pixels), pnginfo=info)
  start = data.index(b"iTXt") - 4
  length = struct.unpack_from(">I", data, start)[0] + 12
  text = data[start : start + length]
  moved = data[:start] + data[start + length : -12] + text + data[-12:]
  assert read_picture(moved).metadata.xmp == b"<x/>"
  rest, chunks, _ = png.split(moved)
  assert b"iTXt" not in rest
  assert [name for name, _ in chunks] == [b"IHDR", b"iTXt", b"IEND"]
  for other in (b"", b"\xff\xd8\xff", moved[:20], moved[:-6]):
    rest, _, faults = png.split(other)
    assert faults == []
  assert png.split(b"no png") == (b"no png", [], [])
