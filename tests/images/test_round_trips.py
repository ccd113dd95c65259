"""Pictures read and written: exact outside the mask, and nothing lost."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageCms

from hdnet_jax.images import color
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import write_picture

from .conftest import (
  CHANNELS,
  SIZE,
  encoded,
  half_mask,
  harmonized,
  image_bytes,
  samples_of,
)

ROUND_TRIPS = [
  (format, mode, dtype)
  for format in ("PNG", "TIFF")
  for mode in CHANNELS
  for dtype in (np.uint8, np.uint16)
  if (mode != "CMYK" or (format, dtype) == ("TIFF", np.uint8))
  and (mode, format, dtype) != ("LA", "TIFF", np.uint16)
]


@pytest.mark.parametrize(("format", "mode", "dtype"), ROUND_TRIPS)
def test_every_mode_and_depth_round_trips(tmp_path, rng, format, mode, dtype):
  data, samples = encoded(mode, rng, dtype, format, dpi=(300, 150), xmp=b"<x/>")
  picture = read_picture(data)
  assert picture.pixels.dtype == dtype
  read = picture.pixels if picture.own is None else picture.own
  if picture.alpha is not None:
    read = np.dstack((read, picture.alpha))
  assert np.array_equal(read, samples)
  assert picture.metadata.dpi == pytest.approx((300, 150), rel=1e-3)
  assert picture.metadata.xmp == b"<x/>"
  assert picture.notes == ()
  # Of what is written, pixels in the mask; test_fuzz.py compares the others.
  path = tmp_path / f"a.{'png' if format == 'PNG' else 'tif'}"
  new, inside = harmonized(picture, rng), half_mask() > 0
  assert write_picture(picture, new, path, mask=half_mask()) == ()
  again = read_picture(path)
  if picture.color_space == "RGB":
    assert np.array_equal(again.pixels[inside], new[inside])
  if picture.color_space == "gray":
    luma = color.rgb_to_luma(new[inside])
    assert np.array_equal(again.own[inside], luma)


@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "PA", "LA"])
def test_common_files_are_exact_outside(tmp_path, rng, mode, extension):
  alpha = mode in ("RGBA", "PA", "LA")
  image = Image.fromarray(samples_of("RGBA" if alpha else "RGB", rng))
  options = {"transparency": 3} if mode == "PA" else {}
  if mode in ("P", "PA"):
    image = image.convert("RGB").quantize(16)
  path = tmp_path / "in.png"
  (image if mode in ("P", "PA") else image.convert(mode)).save(path, **options)
  picture = read_picture(path)
  reference = Image.open(path).convert("RGBA" if alpha else "RGB")
  assert np.array_equal(picture.pixels, np.asarray(reference)[..., :3])
  assert (picture.alpha is not None) == alpha

  out, mask = tmp_path / f"out.{extension}", half_mask()
  new = harmonized(picture, rng)
  write_picture(picture, new, out, quality=100, mask=mask)
  written = read_picture(out)
  assert np.array_equal(written.pixels[mask == 0], picture.pixels[mask == 0])
  if alpha:
    assert np.array_equal(written.alpha, picture.alpha)
  is_gray = mode in ("1", "L", "LA") and extension != "webp"
  assert written.color_space == ("gray" if is_gray else "RGB")


def test_cmyk_jpeg_stays_cmyk(tmp_path, rng):
  image = Image.frombytes("CMYK", SIZE, samples_of("CMYK", rng).tobytes())
  picture = read_picture(image_bytes(image, "JPEG", quality=100))
  assert picture.color_space == "CMYK"
  for name in ("out.jpg", "out.tif"):
    write_picture(picture, picture.pixels, tmp_path / name)
    assert read_picture(tmp_path / name).color_space == "CMYK"
  notes = write_picture(picture, picture.pixels, tmp_path / "out.png")
  assert notes == ("PNG holds no CMYK; it is written as RGB.",)


def test_cmyk_shows_the_colours_asked_for(rng):
  rgb = rng.integers(0, 256, (4000, 3), np.uint8)
  before = rng.integers(0, 256, (4000, 4), np.uint8)
  ink = color.rgb_to_cmyk(rgb, before)
  shown = color.to_rgb(ink[None])[0].astype(int)
  assert np.abs(shown - rgb).max() <= 1
  may = before[:, 3] <= 255 - rgb.max(-1)
  assert np.array_equal(ink[may, 3], before[may, 3])


def test_sixteen_bits_are_rounded_to_eight():
  values = np.arange(2**16, dtype=np.uint16)
  want = np.rint(values / 257).astype(np.uint8)
  assert np.array_equal(color.to_uint8(values), want)
  assert np.array_equal(color.to_uint8(want), want)


def test_gray_keeps_its_value_through_luma():
  for dtype in (np.uint8, np.uint16):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    rgb = np.c_[values, values, values]
    assert np.array_equal(color.rgb_to_luma(rgb), values)
  assert color.rgb_to_luma(np.array([[200, 100, 50]], np.uint8)) == 124


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_profile_and_xmp_are_kept(tmp_path, picture, extension):
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  xmp = b'<rdf:Description tiff:Orientation="6" dc:title="a"/>'
  metadata = Metadata(icc=icc, xmp=xmp, dpi=(300, 300))
  picture = dataclasses.replace(picture, metadata=metadata)
  out = tmp_path / f"out.{extension}"
  assert write_picture(picture, picture.pixels, out) == ()
  again = read_picture(out).metadata
  assert again.icc == icc
  if extension == "tif":  # Pillow takes the orientation out
    xmp = xmp.replace(b' tiff:Orientation="6"', b"")
    again = dataclasses.replace(again, xmp=again.xmp.replace(b"  ", b" "))
  assert again.xmp == xmp.replace(b"6", b"1")
  if extension != "webp":
    assert again.dpi == pytest.approx((300, 300), rel=1e-3)


def test_profile_of_another_color_space_is_left_out(tmp_path, rng):
  own = samples_of("CMYK", rng)
  icc = bytes(16) + b"CMYK" + bytes(200)
  picture = Picture(color.to_rgb(own), own=own, metadata=Metadata(icc=icc))
  notes = write_picture(picture, picture.pixels, tmp_path / "out.png")
  assert "ICC profile" in notes[1]
  write_picture(picture, picture.pixels, tmp_path / "out.tif")
  assert read_picture(tmp_path / "out.tif").metadata.icc == icc
