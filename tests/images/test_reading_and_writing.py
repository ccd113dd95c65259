"""Pictures read and written: exact outside the mask, and nothing lost."""

import dataclasses
import errno
import io
import resource
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from hdnet_jax.errors import UserError
from hdnet_jax.images import color, reading, writing
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.opening import open_image
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import check_output, write_picture

from .conftest import image_bytes, png_chunk

SIZE = (13, 9)  # width, height
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


def samples_of(mode, rng, dtype=np.uint8):
  shape = (SIZE[1], SIZE[0], CHANNELS[mode])
  top = np.iinfo(dtype).max + 1
  samples = rng.integers(0, top, shape, dtype)
  return samples[..., 0] if mode == "L" else samples


@pytest.fixture
def photo(rng):
  return Image.fromarray(samples_of("RGB", rng))


@pytest.fixture
def picture(photo):
  return Picture(np.asarray(photo))


def half_mask():
  mask = np.zeros(SIZE[::-1], np.float32)
  mask[2:7, 3:9] = 0.5
  mask[3:6, 4:8] = 1
  return mask


def harmonized(picture, rng):
  top = np.iinfo(picture.pixels.dtype).max + 1
  return rng.integers(0, top, picture.pixels.shape, picture.pixels.dtype)


def encoded(mode, rng, dtype, format, **metadata):
  """A file, and the samples in it."""
  samples, file = samples_of(mode, rng, dtype), io.BytesIO()
  image = writing.Encodable(samples, mode, Metadata(**metadata))
  writing.encode(image, file, format, 95)
  return file.getvalue(), samples


# What these formats have, and Pillow reads: no CMYK in PNG or of 16 bits; gray
# of 16 bits with alpha is written to TIFF as RGBA.
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


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pillow_agrees_on_sixteen_bits(rng, mode, format):
  data, samples = encoded(mode, rng, np.uint16, format)
  high = np.asarray(Image.open(io.BytesIO(data)))
  assert np.array_equal(high, samples if mode == "L" else samples >> 8)


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


def test_the_default_limit_takes_large_photos():
  assert reading.MAX_PIXELS > 14204 * 10652  # a 150-megapixel camera's
  assert reading.MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
