"""Bytes of image files, and what is wrong with them as a line for people."""

import contextlib
import io
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from hdnet_jax.errors import UserError
from hdnet_jax.images import formats
from hdnet_jax.images.pillow import is_of_pillow

Source = str | os.PathLike | bytes | bytearray | memoryview | BinaryIO

# A whole file in memory: more than the pixels above take in 16-bit RGBA.
MAX_BYTES = 2**31

# Pillow also logs what is wrong with a file. Where nobody listens, Python
# would print that; what matters of it is in our error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read(source: Source) -> tuple[str, bytes]:
  """What to call a source, and its bytes."""
  if isinstance(source, (bytes, bytearray, memoryview)):
    return "the image", _checked("the image", io.BytesIO(source))
  named = isinstance(source, (str, os.PathLike))
  name = os.fspath(source) if named else getattr(source, "name", None)
  name = name if isinstance(name, str) else "the image"
  try:
    if not named:
      return name, _checked(name, source)
    with open(source, "rb") as file:
      return name, _checked(name, file)
  except UserError:
    raise
  except FileNotFoundError:
    raise UserError(f"{name} does not exist; check its path") from None
  except IsADirectoryError:
    raise UserError(f"{name} is a folder; name an image in it") from None
  except (OSError, ValueError) as error:  # ValueError: a null character
    words = getattr(error, "strerror", None) or str(error)
    raise UserError(
      f"{name!s} cannot be read ({words}); check its path and permissions"
    ) from None


def _checked(name: str, file: BinaryIO) -> bytes:
  """All of a file that starts like an image."""
  start = file.read(formats.START)
  if isinstance(start, str):
    raise UserError(f"{name} is opened as text; open it with mode 'rb'")
  if not start:
    raise UserError(f"{name} is empty; replace it")
  format = formats.format_of_contents(start)
  if format is None:
    raise UserError(f"{name} is not a {formats.NAMES} image; convert it to one")
  if remedy := formats.remedy(format):
    raise UserError(f"{name} {remedy}")
  data = start + file.read(MAX_BYTES)
  if len(data) > MAX_BYTES:
    raise UserError(f"{name} is larger than 2 GiB; make it smaller")
  return data


def identified(data: bytes, formats: Iterable[str]) -> ImageFile.ImageFile:
  """The image in a file of one of Pillow's formats, its pixels not decoded yet.

  As `Image.open`; but that warns, by the process's own filters, of images of
  more pixels than it has a mind to. The limit on them is ours.

  Raises:
    UnidentifiedImageError: for what is none, or of a kind that is not read.
  """
  for format in formats:
    if format not in Image.OPEN:
      Image.init()
    factory, accept = Image.OPEN[format]
    if accept is not None and accept(data[:16]) is not True:
      continue
    try:
      return factory(io.BytesIO(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
      if not is_of_pillow(error):
        raise
  raise UnidentifiedImageError


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
  """Pillow's errors as a line for people."""
  try:
    yield
  except UserError:
    raise
  except UnidentifiedImageError:
    raise UserError(
      f"{name} is damaged, or of a kind that cannot be read; save it anew"
    ) from None
  except Image.DecompressionBombError:
    raise UserError(f"{name} has too many pixels; make it smaller") from None
  except MemoryError:
    raise UserError(f"{name} does not fit in memory; make it smaller") from None
  except Exception as error:
    if not is_of_pillow(error):
      raise  # a defect of ours
    words = " ".join(str(error).split()) or type(error).__name__
    raise UserError(
      f"{name} is damaged or cut off ({words}); replace it"
    ) from None
