"""Formats by name and by contents; what is not installed is named."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image, features

from hdnet_jax.data import examples
from hdnet_jax.errors import UserError
from hdnet_jax.images import formats
from hdnet_jax.images.mask_reading import read_mask
from hdnet_jax.images.reading import read_picture

SAVED = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF"]
SIZE = (32, 24)  # width, height


def photo() -> Image.Image:
  """A smooth one: lossy formats keep it nearly."""
  across, down = np.meshgrid(*(np.linspace(40, 200, side) for side in SIZE))
  return Image.fromarray(
    np.dstack((across, down, 240 - across)).astype(np.uint8)
  )


def save(path: pathlib.Path, format: str, image=None, **options):
  if format == "AVIF" and not features.check("avif"):
    pytest.skip("this Pillow has no AVIF")
  if format == "HEIF":
    pytest.importorskip("pillow_heif")
  formats.readable()
  (photo() if image is None else image).save(path, format, **options)
  return path


@pytest.mark.parametrize("format", SAVED)
def test_every_format_is_read(tmp_path, format):
  suffixes = [
    suffix
    for suffix in formats.extensions()
    if formats.format_of(pathlib.Path(f"a{suffix}")) == format
  ]
  assert suffixes
  for suffix in suffixes:
    path = save(tmp_path / f"a{suffix.upper()}", format)
    data = path.read_bytes()
    start = data[: formats.START]
    assert formats.format_of_contents(start) == format
    picture = read_picture(path)
    assert picture.notes == ()
    trained = np.asarray(examples.open_image(path).convert("RGB"))
    for pixels in (picture.pixels, read_picture(data).pixels, trained):
      # A GIF has 256 colours.
      away = np.abs(pixels.astype(int) - np.asarray(photo()))
      assert away.mean() < 12


@pytest.mark.parametrize("format", SAVED)
def test_every_format_may_be_a_mask(tmp_path, format):
  want = np.zeros(SIZE[::-1], np.uint8)
  want[8:16, 8:24] = 255
  path = save(tmp_path / "mask", format, Image.fromarray(want))
  assert np.abs(read_mask(path, SIZE)[0] - want / 255).mean() < 0.02


def test_transparent_gifs_have_alpha(tmp_path):
  image = photo().quantize(16)
  path = save(tmp_path / "a.gif", "GIF", image, transparency=3)
  clear = np.asarray(image) == 3
  np.testing.assert_array_equal(read_picture(path).alpha == 0, clear)


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_phones_photos_are_upright_with_their_metadata(tmp_path, format):
  exif = Image.Exif()
  exif[0x0112], exif[0x010F] = 6, "Maker"
  path = save(tmp_path / "a.x", format, exif=exif.tobytes())
  picture = read_picture(path)
  assert picture.size == SIZE[::-1]
  want = np.rot90(np.asarray(photo()), -1).astype(int)
  assert np.abs(picture.pixels - want).mean() < 12
  loaded = Image.Exif()
  loaded.load(picture.metadata.exif)
  assert (loaded[0x0112], loaded[0x010F]) == (1, "Maker")


def test_heic_of_ten_bits_is_told(tmp_path):
  heif = pytest.importorskip("pillow_heif")
  deep = np.asarray(photo()).astype(np.uint16) * 257
  file = heif.from_bytes("RGB;16", SIZE, deep.tobytes())
  file.save(tmp_path / "a.heic")
  (note,) = read_picture(tmp_path / "a.heic").notes
  assert "bits a sample, of which 8 can be read" in note


@pytest.fixture
def bare(monkeypatch):
  """An installation without pillow-heif, whose Pillow has no AVIF."""
  formats.readable()
  monkeypatch.setattr(features, "check_module", lambda name: False)
  find = formats.importlib.util.find_spec
  monkeypatch.setattr(
    *(formats.importlib.util, "find_spec"),
    lambda name: None if name == "pillow_heif" else find(name),
  )
  known = [name for name in Image.ID if name not in ("AVIF", "HEIF")]
  monkeypatch.setattr(Image, "ID", known)
  formats.readable.cache_clear()
  yield
  formats.readable.cache_clear()


@pytest.mark.parametrize(
  ("name", "brands", "words"),
  [
    (
      "a.heic",
      b"heic\0\0\0\0mif1heic",
      'HEIC image, which needs pip install ".',
    ),
    ("a.heif", b"mif1\0\0\0\0mif1heic", r'pip install "\.\[heic\]"'),
    ("a.avif", b"avif\0\0\0\0avifmif1", 'pip install "pillow>=11.3"'),
    ("a.jpg", b"mif1\0\0\0\0avifmif1", 'pip install "pillow>=11.3"'),
  ],
)
def test_what_is_not_installed_is_named(tmp_path, bare, name, brands, words):
  data = (8 + len(brands)).to_bytes(4) + b"ftyp" + brands + bytes(200)
  path = tmp_path / name
  path.write_bytes(data)
  with pytest.raises(UserError, match=words) as caught:
    read_picture(path)
  assert str(caught.value).startswith(str(path))
  with pytest.raises(examples.BadImage, match=words):
    examples.open_image(path)


def test_videos_are_no_images():
  start = (20).to_bytes(4) + b"ftypisom\0\0\2\0isomiso2avc1mp41"
  assert formats.format_of_contents(start) is None
  with pytest.raises(
    UserError, match=r"is not a JPEG, PNG, .* HEIC, BMP or GIF"
  ):
    read_picture(io.BytesIO(start + bytes(100)))


def test_readers_load_on_use_only():
  assert formats.suffix_of("BMP") == ".png"
  assert formats.suffix_of("JPEG") == ".jpg"
  assert "PIL" not in vars(formats)
