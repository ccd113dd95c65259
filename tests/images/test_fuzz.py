"""Random pictures round trip; damaged files give a picture or a plain error."""

import functools
import io
import resource
import time

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import formats, writing
from hdnet_jax.images.mask_reading import read_mask
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import LARGEST_SIDE, write_picture

# Pillow's of damaged TIFF files, which are no errors.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

MAX_PIXELS = 1_000_000
# What one hostile file may add to the peak: some copies of MAX_PIXELS pixels.
MEMORY_BOUND = 256 * 2**20
SECONDS_A_CASE = 5
WRITERS = [  # mode, format, options of Pillow's
  ("RGB", "JPEG", {}),
  ("L", "JPEG", {"progressive": True}),
  ("CMYK", "JPEG", {}),
  ("RGB", "PNG", {}),
  ("P", "PNG", {"transparency": 1}),
  ("1", "PNG", {}),
  ("RGBA", "PNG", {}),
  ("I;16", "PNG", {}),
  ("RGB", "WEBP", {}),
  ("RGBA", "WEBP", {"lossless": True}),
  ("RGB", "TIFF", {}),
  ("RGB", "TIFF", {"compression": "tiff_lzw"}),
  ("RGB", "TIFF", {"compression": "jpeg"}),
  ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
  ("1", "TIFF", {"compression": "group4"}),
  ("L", "TIFF", {"compression": "packbits"}),
  ("CMYK", "TIFF", {}),
  ("F", "TIFF", {}),
  ("I;16", "TIFF", {}),
  ("RGB", "BMP", {}),
  ("P", "BMP", {}),
  ("1", "BMP", {}),
  ("RGBA", "BMP", {}),
  ("P", "GIF", {"transparency": 1}),
  ("L", "GIF", {}),
  *(
    (mode, format, {})
    for format in ("AVIF", "HEIF")
    if format in formats.readable()
    for mode in ("RGB", "RGBA", "L")
  ),
]


@functools.cache
def seeds():
  """Real small files of every format, mode and depth, with metadata."""
  rng = np.random.default_rng(7)
  files = [written(rng, *writer) for writer in WRITERS]
  for mode, channels in (("RGB", 3), ("RGBA", 4), ("LA", 2)):
    samples = rng.integers(0, 65536, (8, 11, channels), np.uint16)
    image = writing.Encodable(samples, mode, Metadata(dpi=(72, 72)))
    for format in ("PNG", "TIFF"):
      if (mode, format) != ("LA", "TIFF"):  # nobody reads those
        file = io.BytesIO()
        writing.encode(image, file, format, 95)
        files.append(file.getvalue())
  frames = [Image.new("RGB", (6, 5), colour) for colour in ("red", "blue")]
  for format in ("PNG", "WEBP", "TIFF", "MPO", "GIF"):
    file = io.BytesIO()
    frames[0].save(file, format, save_all=True, append_images=frames[1:])
    files.append(file.getvalue())
  return files


def written(rng, mode, format, options):
  noise = rng.integers(0, 256, (23, 31, 4), np.uint8)
  if mode == "I;16":
    image = Image.fromarray(noise[..., :2].copy().view(np.uint16)[..., 0])
  else:
    image = Image.fromarray(noise).convert("RGB").convert(mode)
  exif = Image.Exif()
  exif[0x0112], exif[0x010E] = 6, "A description"
  file = io.BytesIO()
  extra = {"exif": exif.tobytes()} if format != "TIFF" else {"tiffinfo": exif}
  image.save(
    file, format, dpi=(300, 300), icc_profile=bytes(200), **extra, **options
  )
  return file.getvalue()


def mutated(rng, data, other):
  """A damaged copy: cut, bits flipped, bytes set, moved or joined in."""
  data = bytearray(data)
  for _ in range(rng.integers(1, 4)):
    at = int(rng.integers(len(data)))
    match rng.integers(8):
      case 0:
        del data[max(at, 1) :]
      case 1:
        for place in rng.integers(0, len(data), rng.integers(1, 20)):
          data[place] ^= 1 << int(rng.integers(8))
      case 2:
        data[at : at + 8] = rng.bytes(int(rng.integers(1, 9)))
      case 3:
        start = int(rng.integers(len(other)))
        data[at:at] = other[start : start + int(rng.integers(1, 200))]
      case 4:
        data = data[:at] + other[at:] or data
      case 5:  # numbers in the header: sizes, counts, offsets
        place = int(rng.integers(min(len(data), 64)))
        size = int(rng.choice([1, 2, 4]))
        values = [0, 1, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1]
        value = int(rng.choice(values)) % 256**size
        data[place : place + size] = value.to_bytes(
          size, "big" if rng.integers(2) else "little"
        )
      case 6:
        data[at : at + 4] = [int(rng.choice([0, 1, 127, 255]))] * 4
      case 7:
        del data[at : at + int(rng.integers(1, 40))]
    if not data:
      return b""
  return bytes(data)


def peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(cases, seed):
  """Reads mutated files; returns how many were pictures all the same."""
  rng = np.random.default_rng(seed)
  files, read = seeds(), 0
  for case in range(cases):
    data = files[case % len(files)]
    data = mutated(rng, data, files[rng.integers(len(files))])
    before, start = peak(), time.monotonic()
    read += is_picture(data)
    assert time.monotonic() - start < SECONDS_A_CASE, (seed, case)
    assert peak() - before < MEMORY_BOUND, (seed, case)
  return read


def is_picture(data):
  try:
    read_mask(data, (31, 23), resize=True, max_pixels=MAX_PIXELS)
  except UserError as error:
    assert "\n" not in str(error)  # noqa: PT017
  try:
    picture = read_picture(data, max_pixels=MAX_PIXELS)
  except UserError as error:
    assert "\n" not in str(error)  # noqa: PT017
    return False
  assert 0 < picture.pixels.size <= 3 * MAX_PIXELS
  assert picture.pixels.dtype in (np.uint8, np.uint16)
  for format in ("PNG", "TIFF", "WEBP", "JPEG"):
    if format == "JPEG" and picture.alpha is not None:
      continue
    if max(picture.size) <= LARGEST_SIDE.get(format, MAX_PIXELS):
      image, _ = writing.prepare(picture, picture.pixels, format, None)
      writing.encode(image, io.BytesIO(), format, 50)
  return True


def test_whole_files_are_read():
  for data in seeds():
    try:
      read_picture(data, max_pixels=MAX_PIXELS)
    except UserError as error:
      assert "floating-point" in str(error)  # noqa: PT017


def test_damaged_files():
  assert 0 < fuzz(400, seed=0) < 400


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_damaged_files(seed):
  assert 0 < fuzz(2000, seed) < 2000


def random_picture(rng):
  """A picture of any size, kind, depth and alpha, and new pixels for it."""
  height, width = rng.integers(1, 20, 2)
  dtype = rng.choice([np.uint8, np.uint16])
  kind = rng.choice(["gray", "RGB", "CMYK"])
  top = np.iinfo(dtype).max + 1
  pixels, new = rng.integers(0, top, (2, height, width, 3), dtype)
  alpha = own = None
  if kind == "CMYK" and dtype == np.uint8:
    own = np.dstack((255 - pixels, np.zeros((height, width), np.uint8)))
  else:
    if kind == "gray":
      own = pixels[..., 0].copy()
      pixels = np.repeat(own[..., None], 3, -1)
    if rng.integers(2):
      alpha = rng.integers(0, top, (height, width), dtype)
  return Picture(pixels, alpha=alpha, own=own), new


def check_round_trip(rng, folder):
  picture, new = random_picture(rng)
  mask = rng.random(new.shape[:2]) * rng.integers(0, 2, new.shape[:2])
  path = folder / f"a.{rng.choice(['png', 'tif', 'webp'])}"
  write_picture(picture, new, path, 100, mask.astype(np.float32), force=True)
  again = read_picture(path)
  kept = mask == 0
  cut = picture.pixels.dtype != again.pixels.dtype
  assert cut == (picture.pixels.dtype == np.uint16 and path.suffix == ".webp")
  for name in ("pixels", "alpha", "own"):
    before, after = getattr(picture, name), getattr(again, name)
    if name == "own" and again.color_space != picture.color_space:
      continue  # a format without that kind: its pixels are compared
    if before is None and name == "alpha":
      # WebP leaves out alpha that is opaque everywhere.
      assert after is None
    elif before is not None and (name != "alpha" or after is not None):
      before = np.rint(before / 257).astype(np.uint8) if cut else before
      assert np.array_equal(before[kept], after[kept]), name


@pytest.mark.parametrize("seed", range(60))
def test_random_pictures_are_exact_outside_the_mask(tmp_path, seed):
  check_round_trip(np.random.default_rng(seed), tmp_path)


@pytest.mark.slow
def test_many_random_pictures(tmp_path):
  for seed in range(1000, 3000):
    check_round_trip(np.random.default_rng(seed), tmp_path)
