"""Pictures read and written: exact outside the mask, and nothing lost."""

import dataclasses
import errno
import io
import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from hdnet_jax.errors import UserError
from hdnet_jax.images import decode, encode
from hdnet_jax.images.file import (
  Picture,
  _rgb,
  check_output,
  read_picture,
  write_picture,
)

SIZE = (13, 9)  # width, height
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
LOSSLESS = ["png", "tif", "webp"]


def samples_of(mode, rng, dtype=np.uint8):
  shape = (SIZE[1], SIZE[0], CHANNELS[mode])
  top = np.iinfo(dtype).max + 1
  samples = rng.integers(0, top, shape, dtype)
  return samples[..., 0] if mode == "L" else samples


def image_bytes(image, format="PNG", **options):
  file = io.BytesIO()
  image.save(file, format, **options)
  return file.getvalue()


def half_mask():
  mask = np.zeros(SIZE[::-1], np.float32)
  mask[2:7, 3:9] = 0.5
  mask[3:6, 4:8] = 1
  return mask


def harmonized(picture, rng):
  top = np.iinfo(picture.pixels.dtype).max + 1
  return rng.integers(0, top, picture.pixels.shape, picture.pixels.dtype)


def encodable(mode, rng, dtype=np.uint8, **fields):
  fields = dict.fromkeys(("exif", "icc", "xmp", "dpi")) | fields
  return encode.Encodable(samples_of(mode, rng, dtype), mode, **fields)


def own_samples(picture):
  own = picture.pixels if picture.own is None else picture.own
  return own, picture.alpha


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
  first = tmp_path / f"first.{'png' if format == 'PNG' else 'tif'}"
  image = encodable(mode, rng, dtype, dpi=(300, 150), xmp=b"<x/>")
  encode.write(image, first, format, 95)
  picture = read_picture(first)
  assert picture.pixels.dtype == dtype
  own, alpha = own_samples(picture)
  assert np.array_equal(
    own if alpha is None else np.dstack((own, alpha)), image.samples
  )
  assert picture.dpi == pytest.approx((300, 150), rel=1e-3)
  assert picture.xmp == b"<x/>"
  assert picture.notes == ()

  second = tmp_path / f"second{first.suffix}"
  new, mask = harmonized(picture, rng), half_mask()
  assert write_picture(picture, new, second, mask=mask) == ()
  again = read_picture(second)
  for before, after in zip(own_samples(picture), own_samples(again), strict=1):
    if before is not None:
      assert np.array_equal(before[mask == 0], after[mask == 0])
  if alpha is not None:
    assert np.array_equal(alpha, again.alpha)
  if picture.kind == "RGB":
    assert np.array_equal(again.pixels[mask > 0], new[mask > 0])
  if picture.kind == "gray":
    luma = encode.luma(new[mask > 0])
    assert np.array_equal(again.own[mask > 0], luma)


def test_pillow_agrees_on_sixteen_bits(rng, tmp_path):
  for mode in ("L", "RGB", "RGBA"):
    for format in ("PNG", "TIFF"):
      image = encodable(mode, rng, np.uint16)
      encode.write(image, tmp_path / "x", format, 95)
      with Image.open(tmp_path / "x") as read:
        high = np.asarray(read)
      assert np.array_equal(
        high, image.samples if mode == "L" else image.samples >> 8
      )


def test_tiff_written_elsewhere(rng):
  tifffile = pytest.importorskip("tifffile")
  for order in "<>":
    for compression in (None, "zlib"):
      samples = samples_of("RGB", rng, np.uint16)
      file = io.BytesIO()
      tifffile.imwrite(
        file,
        samples,
        photometric="rgb",
        byteorder=order,
        compression=compression,
      )
      assert np.array_equal(read_picture(file.getvalue()).pixels, samples)
  file = io.BytesIO()
  tifffile.imwrite(file, samples[..., 0], photometric="miniswhite")
  assert np.array_equal(read_picture(file.getvalue()).own, ~samples[..., 0])
  file = io.BytesIO()
  planes = np.moveaxis(samples, -1, 0)
  tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate")
  with pytest.raises(UserError, match="separate planes"):
    read_picture(file.getvalue())


@pytest.mark.parametrize("extension", LOSSLESS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "PA", "LA"])
def test_common_files_are_exact_outside(tmp_path, rng, mode, extension):
  alpha = mode in ("RGBA", "PA", "LA")
  image = Image.fromarray(samples_of("RGBA" if alpha else "RGB", rng))
  if mode in ("P", "PA"):
    image = image.convert("RGB").quantize(16)
    if alpha:
      image.info["transparency"] = 3
  elif mode != image.mode:
    image = image.convert(mode)
  options = {"transparency": 3} if mode == "PA" else {}
  path = tmp_path / "in.png"
  image.save(path, **options)
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
  grayscale = mode in ("1", "L", "LA")
  assert written.kind == (
    "gray" if grayscale and extension != "webp" else "RGB"
  )


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "PNG", "TIFF"])
@pytest.mark.parametrize(
  ("kind", "dtype"),
  [
    ("gray", np.uint8),
    ("gray", np.uint16),
    ("RGB", np.uint8),
    ("RGB", np.uint16),
    ("CMYK", np.uint8),  # Pillow reads no others
  ],
)
def test_what_the_encoder_gets_is_exact(rng, kind, dtype, format):
  mode = {"gray": "L"}.get(kind, kind)
  for _ in range(5):
    own = samples_of(mode, rng, dtype)
    pixels = _rgb(own)
    picture = Picture(pixels, own=None if kind == "RGB" else own)
    mask = rng.random(SIZE[::-1]) * rng.integers(0, 2, SIZE[::-1])
    image, notes = encode.image_for(
      picture, harmonized(picture, rng), format, mask
    )
    converted = kind == "CMYK" and format in ("PNG", "WEBP")
    want = pixels if converted or image.samples.ndim != own.ndim else own
    if dtype == np.uint16 and format in ("JPEG", "WEBP"):
      want = np.rint(want / 257).astype(np.uint8)
      assert "8 bits" in notes[0]
    assert np.array_equal(image.samples[mask == 0], want[mask == 0])
    assert bool(notes) == (converted or image.samples.dtype != dtype)


def test_cmyk_jpeg_stays_cmyk(tmp_path, rng):
  image = Image.frombytes("CMYK", SIZE, samples_of("CMYK", rng).tobytes())
  image.save(tmp_path / "in.jpg", quality=100)
  picture = read_picture(tmp_path / "in.jpg")
  assert (picture.kind, picture.mode) == ("CMYK", "CMYK")
  for name in ("out.jpg", "out.tif"):
    write_picture(picture, picture.pixels, tmp_path / name)
    assert read_picture(tmp_path / name).kind == "CMYK"
  notes = write_picture(picture, picture.pixels, tmp_path / "out.png")
  assert notes == ("PNG holds no CMYK; it is written as RGB.",)


def test_cmyk_shows_the_colours_asked_for(rng):
  rgb = rng.integers(0, 256, (4000, 3), np.uint8)
  own = rng.integers(0, 256, (4000, 4), np.uint8)
  ink = encode.cmyk(rgb, own)
  shown = _rgb(ink[None])[0].astype(int)
  assert np.abs(shown - rgb).max() <= 1
  may = own[:, 3] <= 255 - rgb.max(-1)
  assert np.array_equal(ink[may, 3], own[may, 3])


def test_gray_keeps_its_value_through_luma():
  for dtype in (np.uint8, np.uint16):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    assert np.array_equal(encode.luma(np.c_[values, values, values]), values)
  assert encode.luma(np.array([[200, 100, 50]], np.uint8)) == 124


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied(tmp_path, rng, format, orientation):
  exif = Image.Exif()
  exif[0x0112], exif[0x010F] = orientation, "Maker"
  exif[0x8769] = {0x829A: 0.005}
  image = Image.fromarray(samples_of("RGB", rng))
  options = {"lossless": True} if format == "WEBP" else {}
  options |= {"exif": exif.tobytes(), "dpi": (200, 100)}
  data = image_bytes(image, format, **options)
  want = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
  picture = read_picture(data)
  assert np.array_equal(picture.pixels, want)
  for extension in ("jpg", "png", "webp", "tif"):
    out = tmp_path / f"out.{extension}"
    write_picture(picture, picture.pixels, out)
    with Image.open(out) as written:
      kept = written.getexif()
      assert kept.get(0x0112, 1) == 1
      assert kept[0x010F] == "Maker"
      assert float(kept.get_ifd(0x8769)[0x829A]) == pytest.approx(0.005)
  if format in ("JPEG", "PNG"):
    turned = orientation >= 5
    assert picture.dpi == pytest.approx(
      (100, 200) if turned else (200, 100), rel=1e-3
    )


def test_orientation_in_big_endian_and_damaged_exif(rng):
  image = Image.fromarray(samples_of("RGB", rng))
  exif = Image.Exif()
  exif.endian = ">"
  exif[0x0112] = 6
  big = read_picture(image_bytes(image, exif=exif.tobytes()))
  assert big.size == SIZE[::-1]
  damaged = read_picture(image_bytes(image, exif=b"II*\0\xff\xff\xff\xff"))
  assert damaged.exif is None
  assert damaged.notes == (
    "the image has damaged EXIF data, which is left out.",
  )


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_profile_and_xmp_are_kept(tmp_path, rng, extension):
  icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  xmp = b'<rdf:Description tiff:Orientation="6" dc:title="a"/>'
  picture = Picture(samples_of("RGB", rng), icc=icc, xmp=xmp, dpi=(300, 300))
  out = tmp_path / f"out.{extension}"
  assert write_picture(picture, picture.pixels, out) == ()
  again = read_picture(out)
  assert again.icc == icc
  if extension == "tif":  # Pillow takes the orientation out
    xmp = xmp.replace(b' tiff:Orientation="6"', b"")
    again = dataclasses.replace(again, xmp=again.xmp.replace(b"  ", b" "))
  assert again.xmp == xmp.replace(b"6", b"1")
  if extension != "webp":
    assert again.dpi == pytest.approx((300, 300), rel=1e-3)


def test_profile_of_another_kind_is_left_out(tmp_path, rng):
  own = samples_of("CMYK", rng)
  icc = bytes(16) + b"CMYK" + bytes(200)
  picture = Picture(_rgb(own), own=own, icc=icc)
  notes = write_picture(picture, picture.pixels, tmp_path / "out.png")
  assert "ICC profile" in notes[1]
  write_picture(picture, picture.pixels, tmp_path / "out.tif")
  assert read_picture(tmp_path / "out.tif").icc == icc


def test_transparent_colour_becomes_alpha(tmp_path, rng):
  for dtype in (np.uint8, np.uint16):
    image = encodable("RGB", rng, dtype)
    encode.write(image, tmp_path / "x.png", "PNG", 95)
    data = (tmp_path / "x.png").read_bytes()
    key = image.samples[2, 3]
    chunk = b"tRNS" + key.astype(">u2").tobytes()
    check = encode.zlib.crc32(chunk).to_bytes(4)
    data = data[:33] + (6).to_bytes(4) + chunk + check + data[33:]
    alpha = read_picture(data).alpha
    assert alpha.dtype == dtype
    assert alpha[2, 3] == 0
    assert alpha.max() == np.iinfo(dtype).max


def test_first_of_several_images(rng):
  frames = [Image.fromarray(samples_of("RGB", rng)) for _ in range(2)]
  for format in ("PNG", "TIFF", "WEBP"):
    options = {"lossless": True} if format == "WEBP" else {}
    data = image_bytes(
      frames[0], format, save_all=True, append_images=frames[1:], **options
    )
    picture = read_picture(data)
    assert "several images" in picture.notes[0]
    assert np.array_equal(picture.pixels, np.asarray(frames[0]))


def test_contents_count_not_the_extension(tmp_path, rng):
  path = tmp_path / "photo.jpg"
  path.write_bytes(image_bytes(Image.fromarray(samples_of("RGB", rng))))
  assert "PNG file by its contents" in read_picture(path).notes[0]
  with path.open("rb") as file:
    assert read_picture(file).name == str(path)


def damaged_fax(rng) -> bytes:
  """A TIFF file of which libtiff prints that it is damaged."""
  image = Image.fromarray(samples_of("L", rng)).convert("1")
  data = bytearray(image_bytes(image, "TIFF", compression="group4"))
  strip = Image.open(io.BytesIO(data)).tag_v2[273][0]
  data[strip + 4] ^= 0xFF
  return bytes(data)


def damaged_exif(rng) -> bytes:
  """A TIFF file of which Pillow warns that a tag lies outside of it."""
  image = Image.fromarray(samples_of("L", rng))
  tags = {0x8769: {0x9003: "2026:11:27 00:00:00"}}
  data = bytearray(image_bytes(image, "TIFF", tiffinfo=tags))
  at = data.index((0x9003).to_bytes(2, "little") + (2).to_bytes(2, "little"))
  data[at + 8 : at + 12] = (10**6).to_bytes(4, "little")
  return bytes(data)


def test_nothing_of_the_process_is_caught(rng, capfd, monkeypatch):
  """What libraries say goes where it goes; no other thread's becomes a note."""
  plain = decode._samples

  def state():
    return os.fstat(2).st_ino, warnings.filters, warnings.showwarning

  before = state()

  def samples(*arguments):
    assert state() == before
    return plain(*arguments)

  monkeypatch.setattr(decode, "_samples", samples)
  picture = read_picture(damaged_fax(rng))
  assert picture.notes == ()
  assert "Fax" in capfd.readouterr().err  # libtiff's own words
  # Pillow's warning is one of Python's, by the filters of the process.
  monkeypatch.setattr(decode, "_samples", plain)
  with pytest.warns(UserWarning, match="Truncated File Read"):
    read_picture(damaged_exif(rng))


def test_notes_are_those_of_their_own_file(rng):
  """Of files that are read in many threads, each has its own notes."""
  photo = image_bytes(Image.fromarray(samples_of("RGB", rng)))
  broken = Image.fromarray(samples_of("RGB", rng))
  broken = image_bytes(broken, exif=b"II*\0\xff\xff\xff\xff")

  def notes(index):
    os.write(2, b"another thread's words")
    return read_picture(broken if index % 3 == 0 else photo).notes

  with ThreadPoolExecutor(8) as pool:
    results = list(pool.map(notes, range(90)))
  for index, found in enumerate(results):
    assert len(found) == (index % 3 == 0)
    assert all("EXIF" in note for note in found)


@pytest.mark.parametrize("kind", [AttributeError, AssertionError, KeyError])
def test_a_defect_of_ours_is_no_mistake_of_the_user(rng, monkeypatch, kind):
  data = image_bytes(Image.fromarray(samples_of("RGB", rng)))

  def fail(*_):
    raise kind("ours")

  for module, name in (
    (decode, "_samples"),
    (decode.metadata, "extras_of"),
    (decode.exif, "corrected"),
    (decode.png, "split"),
  ):
    with monkeypatch.context() as patch:
      patch.setattr(module, name, fail)
      source = image_bytes(
        Image.fromarray(samples_of("RGB", rng)), exif=Image.Exif().tobytes()
      )
      with pytest.raises(kind, match="ours"):
        read_picture(source)
  # Of damaged files Pillow raises the same.
  with monkeypatch.context() as patch:
    patch.setattr(PngImagePlugin.PngImageFile, "load_prepare", raises(kind))
    with pytest.raises(UserError, match="damaged or cut off"):
      read_picture(data)


def raises(kind):
  """A function that raises, as if Pillow had it."""
  scope = {"__name__": "PIL.test", "kind": kind}
  exec("def fail(*_):\n  raise kind('theirs')", scope)
  return scope["fail"]


def test_multiplied_alpha_is_noted(rng):
  tifffile = pytest.importorskip("tifffile")
  file = io.BytesIO()
  tifffile.imwrite(
    file,
    samples_of("RGBA", rng),
    photometric="rgb",
    extrasamples=["assocalpha"],
  )
  assert "multiplied by alpha" in read_picture(file.getvalue()).notes[0]


def test_one_pixel(tmp_path):
  picture = read_picture(image_bytes(Image.new("RGB", (1, 1), (1, 2, 3))))
  for extension in ("jpg", "png", "webp", "tiff"):
    write_picture(picture, picture.pixels, tmp_path / f"a.{extension}")
    assert read_picture(tmp_path / f"a.{extension}").size == (1, 1)


def bomb():
  header = b"IHDR" + bytes.fromhex("0000ffff0000ffff0802000000")
  check = encode.zlib.crc32(header).to_bytes(4)
  data = image_bytes(Image.new("RGB", (1, 1)))
  return data[:12] + header + check + data[33:]


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


def test_refused_before_anything_is_written(tmp_path, rng):
  picture = Picture(samples_of("RGB", rng))
  clear = Picture(picture.pixels, alpha=picture.pixels[..., 0])
  wide = Picture(np.zeros((1, 20000, 3), np.uint8))
  (tmp_path / "old.png").write_bytes(b"old")
  (tmp_path / "folder.png").mkdir()
  (tmp_path / "link.png").symlink_to("nowhere")
  for words, this, name, quality in (
    (r"choose one of \.jpg, \.jpeg, \.png", picture, "a.gif", 95),
    ("extension", picture, "a", 95),
    ("--force", picture, "old.png", 95),
    ("--force", picture, "link.png", 95),
    ("is a folder", picture, "folder.png", 95),
    ("PNG, WebP or TIFF", clear, "a.jpg", 95),
    ("16383 at most", wide, "a.webp", 95),
    ("1 to 100", picture, "a.jpg", 0),
    ("1 to 100", picture, "a.jpg", 101),
    ("null character", picture, "a\0.jpg", 95),
  ):
    with pytest.raises(UserError, match=words):
      check_output(this, tmp_path / name, quality)
  assert (tmp_path / "old.png").read_bytes() == b"old"
  with pytest.raises(ValueError, match="dtype"):
    write_picture(picture, picture.pixels / 255, tmp_path / "a.png")
  with pytest.raises(ValueError, match="mask"):
    write_picture(
      picture, picture.pixels, tmp_path / "a.png", mask=np.zeros((2, 2))
    )
  write_picture(picture, picture.pixels, tmp_path / "old.png", force=True)
  assert np.array_equal(
    read_picture(tmp_path / "old.png").pixels, picture.pixels
  )


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_full_disk_leaves_nothing(tmp_path, rng, monkeypatch, extension):
  picture = Picture(samples_of("RGB", rng))

  def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(encode, "_write_by_pillow", full)
  monkeypatch.setattr(encode.tiff, "write", full)
  path = tmp_path / "new" / "folder" / f"a.{extension}"
  with pytest.raises(UserError, match="No space left") as error:
    write_picture(picture, picture.pixels, path)
  assert str(path) in str(error.value)
  assert list(tmp_path.iterdir()) == []


def test_unwritable_places(tmp_path, rng):
  picture = Picture(samples_of("RGB", rng))
  (tmp_path / "file").write_bytes(b"")
  with pytest.raises(UserError, match="cannot be written"):
    write_picture(picture, picture.pixels, tmp_path / "file" / "a.png")
  with pytest.raises(UserError, match="cannot be written"):
    write_picture(picture, picture.pixels, tmp_path / f"{'a' * 300}.png")
  assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_quality_and_new_folders(tmp_path):
  ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
  noise = np.random.default_rng(1).integers(0, 99, (64, 64, 3))
  picture = Picture((ramp[..., None] + noise).astype(np.uint8))
  for extension in ("jpg", "webp"):
    sizes = []
    for quality in (20, 95, 100):
      path = tmp_path / "deep" / f"{quality}.{extension}"
      write_picture(picture, picture.pixels, path, quality=quality)
      sizes.append(path.stat().st_size)
      assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600
    assert sizes == sorted(sizes)
  lossless = read_picture(tmp_path / "deep" / "100.webp")
  assert np.array_equal(lossless.pixels, picture.pixels)


def test_the_default_limit_takes_large_photos():
  assert decode.MAX_PIXELS > 14204 * 10652  # a 150-megapixel camera's
  assert decode.MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
