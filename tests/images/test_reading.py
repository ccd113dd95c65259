"""Pictures that are read: their pixels, and what is told of bad files."""

import errno
import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps

from hdnet_jax.errors import UserError
from hdnet_jax.images import reading
from hdnet_jax.images.opening import open_image
from hdnet_jax.images.reading import read_picture

from .conftest import SIZE, encoded, image_bytes, png_chunk, samples_of


def tiff_bytes(samples, **options):
  tifffile = pytest.importorskip("tifffile")
  file = io.BytesIO()
  tifffile.imwrite(file, samples, **{"photometric": "rgb", **options})
  return file.getvalue()


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_written_elsewhere(rng, byteorder, compression):
  samples = samples_of("RGB", rng, np.uint16)
  options = {"byteorder": byteorder, "compression": compression}
  picture = read_picture(tiff_bytes(samples, **options))
  assert np.array_equal(picture.pixels, samples)
  gray = tiff_bytes(samples[..., 0], photometric="miniswhite")
  assert np.array_equal(read_picture(gray).own, ~samples[..., 0])
  planes = np.moveaxis(samples, -1, 0)
  with pytest.raises(UserError, match="separate planes"):
    read_picture(tiff_bytes(planes, planarconfig="separate"))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pillow_agrees_on_sixteen_bits(rng, mode, format):
  data, samples = encoded(mode, rng, np.uint16, format)
  high = np.asarray(Image.open(io.BytesIO(data)))
  assert np.array_equal(high, samples if mode == "L" else samples >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(photo, format, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  options = {"lossless": True} if format == "WEBP" else {}
  options |= {"exif": exif.tobytes(), "dpi": (200, 100)}
  data = image_bytes(photo, format, **options)
  want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
  picture = read_picture(data)
  assert np.array_equal(picture.pixels, want)
  if format in ("JPEG", "PNG"):
    dpi = (100, 200) if orientation >= 5 else (200, 100)
    assert picture.metadata.dpi == pytest.approx(dpi, rel=1e-3)


def test_damaged_exif_is_left_out(photo):
  damaged = read_picture(image_bytes(photo, exif=b"II*\0\xff\xff\xff\xff"))
  assert damaged.metadata.exif is None
  assert damaged.notes == (
    "the image has damaged EXIF data, which is left out.",
  )


def test_threads_have_their_own_notes(photo):
  whole = image_bytes(photo, "PNG")
  damaged = image_bytes(photo, exif=b"II*\0\xff\xff\xff\xff")
  filters = warnings.filters[:]
  with ThreadPoolExecutor(4) as pool:
    pictures = list(pool.map(read_picture, [damaged, whole] * 20))
  assert [len(picture.notes) for picture in pictures] == [1, 0] * 20
  assert warnings.filters[:] == filters


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparent_colour_becomes_alpha(rng, dtype):
  data, samples = encoded("RGB", rng, dtype, "PNG")
  chunk = png_chunk(b"tRNS", samples[2, 3].astype(">u2").tobytes())
  alpha = read_picture(data[:33] + chunk + data[33:]).alpha
  assert alpha.dtype == dtype
  assert alpha[2, 3] == 0
  assert alpha.max() == np.iinfo(dtype).max


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "GIF"])
def test_first_of_several_images(photo, format):
  options = {"lossless": True} if format == "WEBP" else {}
  options |= {"save_all": True, "append_images": [Image.new("RGB", SIZE)]}
  picture = read_picture(image_bytes(photo, format, **options))
  assert "several images" in picture.notes[0]
  assert np.array_equal(picture.pixels, np.asarray(photo))


def test_contents_count_not_the_extension(tmp_path, photo):
  path = tmp_path / "photo.jpg"
  path.write_bytes(image_bytes(photo))
  assert "PNG file by its contents" in read_picture(path).notes[0]
  with path.open("rb") as file:
    assert read_picture(file).name == str(path)


def test_words_of_libraries_go_where_they_go(photo, capfd):
  # A TIFF file of which libtiff prints that it is damaged.
  fax = photo.convert("1")
  data = bytearray(image_bytes(fax, "TIFF", compression="group4"))
  strip = Image.open(io.BytesIO(data)).tag_v2[273][0]
  data[strip + 4] ^= 0xFF
  assert read_picture(bytes(data)).notes == ()
  assert "Fax" in capfd.readouterr().err
  # One of which Pillow warns that a tag lies outside of it.
  tags = {0x8769: {0x9003: "2026:11:27 00:00:00"}}
  data = bytearray(image_bytes(photo, "TIFF", tiffinfo=tags))
  at = data.index((0x9003).to_bytes(2, "little") + (2).to_bytes(2, "little"))
  data[at + 8 : at + 12] = (10**6).to_bytes(4, "little")
  with pytest.warns(UserWarning, match="Truncated File Read"):
    read_picture(bytes(data))


@pytest.mark.parametrize("kind", [AttributeError, AssertionError, KeyError])
def test_a_defect_of_ours_is_no_mistake_of_the_user(photo, kind):
  data = image_bytes(photo)
  with pytest.raises(kind, match="defect"), open_image(data, 10**6):
    raise kind("defect")
  # Of damaged files Pillow raises the same.
  scope = {"__name__": "PIL.test", "kind": kind}
  exec("def fail():\n  raise kind('damage')", scope)
  with (
    pytest.raises(UserError, match="damaged or cut off"),
    open_image(data, 10**6),
  ):
    scope["fail"]()


def test_multiplied_alpha_is_noted(rng):
  data = tiff_bytes(samples_of("RGBA", rng), extrasamples=["assocalpha"])
  assert "multiplied by alpha" in read_picture(data).notes[0]


def bomb():
  header = bytes.fromhex("0000ffff0000ffff0802000000")
  data = image_bytes(Image.new("RGB", (1, 1)))
  return data[:8] + png_chunk(b"IHDR", header) + data[33:]


def floats(value):
  return image_bytes(Image.new("F", (2, 2), value), "TIFF")


WHOLE = image_bytes(Image.new("RGB", (64, 64), "red"), "JPEG")
BAD_FILES = {
  "empty": (b"", "is empty"),
  "text": (b"hello there, this is no image", "is not a JPEG"),
  "ico": (image_bytes(Image.new("L", (16, 16)), "ICO"), "is not a JPEG"),
  "start": (WHOLE[:20], "damaged"),
  "cut": (WHOLE[:-200], "damaged or cut off"),
  "bomb": (bomb(), "65535x65535 pixels, over the limit"),
  "large": (image_bytes(Image.new("L", (1001, 1000))), "1001x1000 pixels"),
  "nan": (floats(float("nan")), "NaN"),
  "floats": (floats(0.5), "floating-point"),
  "lab": (image_bytes(Image.new("LAB", (2, 2)), "TIFF"), r"kind \(LAB\)"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_in_a_line(tmp_path, kind):
  data, words = BAD_FILES[kind]
  path = tmp_path / "bad.png"
  path.write_bytes(data)
  with pytest.raises(UserError, match=words) as error:
    read_picture(path, max_pixels=1_000_000)
  assert str(error.value).startswith(str(path))
  assert "\n" not in str(error.value)
  with pytest.raises(UserError, match=words):
    read_picture(data, max_pixels=1_000_000)


def test_bad_paths(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="does not exist"):
    read_picture(tmp_path / "none.png")
  with pytest.raises(UserError, match="is a folder"):
    read_picture(tmp_path)
  with pytest.raises(UserError, match="cannot be read"):
    read_picture("a\0b.png")

  def refuse(*_):
    raise PermissionError(errno.EACCES, "Permission denied")

  monkeypatch.setattr("builtins.open", refuse)
  with pytest.raises(UserError, match=r"read \(Permission denied\)"):
    read_picture(tmp_path / "mine.png")


def test_the_default_limit_takes_large_photos():
  assert reading.MAX_PIXELS > 14204 * 10652  # a 150-megapixel camera's
  assert reading.MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
