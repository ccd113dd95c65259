"""PNG files of blocks that were compressed apart."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.images import png_writing
from hdnet_jax.images.reading import read_picture
from hdnet_jax.images.writing import Encodable

MODES = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}


def encode(samples, mode) -> bytes:
  file = io.BytesIO()
  png_writing.write(Encodable(samples, mode), file)
  return file.getvalue()


def stream(data: bytes) -> bytes:
  """Join what the IDAT chunks of a file hold; check all checksums."""
  at, parts = 8, []
  while at < len(data):
    length, name = struct.unpack_from(">I4s", data, at)
    body = data[at + 8 : at + 8 + length]
    (check,) = struct.unpack_from(">I", data, at + 8 + length)
    assert check == zlib.crc32(name + body)
    parts += [body] if name == b"IDAT" else []
    at += 12 + length
  return b"".join(parts)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (7, 1), (1, 9), (61, 43)])
def test_other_readers_see_the_same_pixels(rng, mode, size):
  samples = rng.integers(0, 256, size + MODES[mode], np.uint8)
  with Image.open(io.BytesIO(encode(samples, mode))) as image:
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image), samples)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_many_blocks_are_one_stream(rng, kind):
  # A ramp, flat parts and noise, of which rows take all three filters.
  y, x = np.mgrid[:900, :700]
  samples = np.stack([x * y // 9, 3 * x, 2 * y], -1).astype(kind)
  samples[500:] = rng.integers(0, np.iinfo(kind).max, samples[500:].shape, kind)
  samples[:200, 100:] = 200
  data = encode(samples, "RGB")
  # The end of the stream holds the checksum of all, which zlib compares.
  raw = zlib.decompress(stream(data))
  row = 1 + samples[0].nbytes
  assert len(raw) == 900 * row > 2**20  # of one block
  assert set(raw[::row]) == {1, 2, 3}
  np.testing.assert_array_equal(read_picture(data).pixels, samples)


def test_equal_pixels_make_equal_bytes(rng):
  samples = rng.integers(0, 256, (900, 700, 3), np.uint8)
  first = encode(samples, "RGB")
  assert encode(samples[::-1][::-1], "RGB") == first  # of other strides


def test_a_photo_is_about_as_small_as_by_pillow():
  from skimage import data

  photo = data.astronaut()
  file = io.BytesIO()
  Image.fromarray(photo).save(file, "PNG", compress_type=zlib.Z_RLE)
  assert len(encode(photo, "RGB")) < 1.05 * len(file.getvalue())
