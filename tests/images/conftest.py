"""Files of images, in memory."""

import io
import zlib

from PIL import Image


def image_bytes(image: Image.Image, format: str = "PNG", **options) -> bytes:
  file = io.BytesIO()
  image.save(file, format, **options)
  return file.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
  check = zlib.crc32(name + body).to_bytes(4)
  return len(body).to_bytes(4) + name + body + check
