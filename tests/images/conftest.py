"""Images, pictures and files of them, in memory."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.images import writing
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture


def image_bytes(image: Image.Image, format: str = "PNG", **options) -> bytes:
  file = io.BytesIO()
  image.save(file, format, **options)
  return file.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
  check = zlib.crc32(name + body).to_bytes(4)
  return len(body).to_bytes(4) + name + body + check


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
