"""Open image files: read their bytes, identify them, explain what is wrong."""

import contextlib
import dataclasses
import io
import logging
import os
import struct
import traceback
from collections.abc import Generator
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from hdnet_jax.errors import UserError
from hdnet_jax.images import formats, png

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

# The most that is read into memory; 175 megapixels of 16-bit RGBA take less.
MAX_BYTES = 2**31

# Kinds of bad files, as tables name them.
MISSING = "missing file"
UNREADABLE = "unreadable file"
TRUNCATED = "truncated file"
TOO_LARGE = "too many pixels"

# Formats by their first bytes, and what stands near the end of a whole file.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}
# Libraries that read images: Pillow, and one that gives it a format.
_READERS = {"PIL", "pillow_heif"}

# Pillow also logs what is wrong with a file, and Python prints that where no
# handler is set. What matters of it is in our error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


class ImageError(UserError):
  """A file that cannot be read as an image.

  Attributes:
    kind: MISSING, UNREADABLE, TRUNCATED or TOO_LARGE.
    detail: what is wrong, for a table beside the file's name.
  """

  def __init__(
    self, message: str, detail: str = "not an image", kind: str = UNREADABLE
  ):
    self.detail, self.kind = detail, kind
    super().__init__(message)


@dataclasses.dataclass(frozen=True, eq=False)
class OpenImage:
  """A file whose header is read, and whose pixels are not decoded yet.

  name: for messages.
  data: the file's bytes, without the texts and the profile of PNG.
  image: its `info` has that profile, and XMP and EXIF data of those texts.
  chunks: of PNG, all but the pixels.
  faults: sentences, which begin with a verb, on damaged chunks of PNG.
  """

  name: str
  data: bytes
  image: ImageFile.ImageFile
  chunks: list[png.Chunk]
  faults: list[str]


@contextlib.contextmanager
def open_image(
  source: Source, max_pixels: int, any_format: bool = False
) -> Generator[OpenImage]:
  """Open an image file.

  Errors that Pillow raises inside of the context are explained, too.

  Args:
    source: a path, a file's bytes, or an open binary file.
    max_pixels: larger images are refused before they are decoded.
    any_format: accept all of Pillow's formats, not only those of `formats`.

  Raises:
    ImageError: for what is missing, no whole image, or too large.
  """
  name, data = _read(source, any_format)
  with _as_user_error(name, data):
    stripped, chunks, faults = png.split(data)
    image = identify(stripped, any_format)
    info, more = png.info_of(chunks)
    image.info.update(info)
    _check_size(name, image, max_pixels)
    yield OpenImage(name, stripped, image, chunks, [*faults, *more])


def identify(data: bytes, any_format: bool = False) -> ImageFile.ImageFile:
  """Return the image in a file's bytes, its pixels not decoded yet.

  Unlike `Image.open` this neither warns of large images nor limits them.

  Raises:
    UnidentifiedImageError: for what is no image of these formats.
  """
  names = formats.readable()  # also registers the HEIF reader
  if any_format:
    Image.init()
    names = dict.fromkeys((*names, *Image.ID))
  for format in names:
    if format not in Image.OPEN:
      Image.init()
    factory, accept = Image.OPEN[format]
    try:
      if accept is None or accept(data[:16]) is True:
        return factory(io.BytesIO(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
      if not _is_of_pillow(error):
        raise
  raise UnidentifiedImageError


def _read(source: Source, any_format: bool) -> tuple[str, bytes]:
  """Return a source's name for messages, and its bytes."""
  if isinstance(source, (bytes, bytearray, memoryview)):
    source = io.BytesIO(source)
  is_path = isinstance(source, (str, os.PathLike))
  name = os.fspath(source) if is_path else getattr(source, "name", None)
  name = name if isinstance(name, str) else "the image"
  try:
    with (
      open(source, "rb") if is_path else contextlib.nullcontext(source) as file
    ):
      return name, _read_file(name, file, any_format)
  except UserError:
    raise
  except FileNotFoundError:
    raise ImageError(
      f"{name} does not exist; check its path", "no such file", MISSING
    ) from None
  except (OSError, ValueError) as error:  # ValueError: a null character
    words = getattr(error, "strerror", None) or str(error)
    raise ImageError(
      f"{name} is a folder; name an image in it"
      if isinstance(error, IsADirectoryError)
      else f"{name} cannot be read ({words}); check its path and permissions",
      _words(error).replace(name, "it"),
    ) from None


def _read_file(name: str, file: BinaryIO, any_format: bool) -> bytes:
  """Return all of a file that starts like an image."""
  start = file.read(formats.START)
  if isinstance(start, str):
    raise UserError(f"{name} is opened as text; open it with mode 'rb'")
  if not start:
    raise ImageError(f"{name} is empty; replace it", kind=TRUNCATED)
  format = formats.format_of_contents(start)
  if remedy := formats.remedy(format):
    raise ImageError(f"{name} {remedy}", remedy)
  if format is None and not any_format:
    raise ImageError(
      f"{name} is not a {formats.NAMES} image; convert it to one"
    )
  data = start + file.read(MAX_BYTES)
  if len(data) > MAX_BYTES:
    raise ImageError(f"{name} is larger than 2 GiB; make it smaller")
  return data


def _check_size(name: str, image: Image.Image, max_pixels: int) -> None:
  """Raise ImageError for an image of no pixels, or of too many."""
  size = f"{image.width}x{image.height}"
  # A TIFF tile is decoded whole, however little of it the image shows.
  tags = getattr(image, "tag_v2", {})
  tile = tags.get(322, 1) * tags.get(323, 1)
  if max(image.width * image.height, tile) > max_pixels:
    raise ImageError(
      f"{name} has {size} pixels, over the limit of {max_pixels}; make it "
      "smaller",
      f"{size} is over the limit of {max_pixels} pixels",
      TOO_LARGE,
    )
  if tags.get(284) == 2 and np.max(tags.get(258, 1)) > 8:
    # Pillow takes the two bytes of a sample for two samples.
    raise ImageError(
      f"{name} has 16-bit colours in separate planes, which cannot be read; "
      "save it with interleaved colours",
      "16-bit colours in separate planes",
    )
  if not image.width or not image.height:
    raise ImageError(f"{name} has no pixels; replace it", "no pixels")


@contextlib.contextmanager
def _as_user_error(name: str, data: bytes) -> Generator[None]:
  """Turn Pillow's errors into ImageErrors."""
  try:
    yield
  except UserError:
    raise
  except Image.DecompressionBombError as error:
    raise ImageError(
      f"{name} has too many pixels; make it smaller", _words(error), TOO_LARGE
    ) from None
  except MemoryError as error:
    raise ImageError(
      f"{name} does not fit in memory; make it smaller", _words(error)
    ) from None
  except Exception as error:
    words = _words(error)
    cut = "truncated" in words.lower() or _is_cut_off(data)
    kind = TRUNCATED if cut else UNREADABLE
    if isinstance(error, UnidentifiedImageError):
      raise ImageError(
        f"{name} is damaged, or of a kind that cannot be read; save it anew",
        kind=kind,
      ) from None
    if not _is_of_pillow(error):
      raise  # a defect of ours
    raise ImageError(
      f"{name} is damaged or cut off ({words}); replace it", words, kind
    ) from None


def _is_of_pillow(error: BaseException) -> bool:
  """Return whether an error was raised inside of Pillow, or by its callees.

  For damaged files Pillow raises errors of any type, AttributeError and
  AssertionError among them. Errors of these types from our own code are bugs.
  """
  return any(
    frame.f_globals.get("__name__", "").partition(".")[0] in _READERS
    for frame, _ in traceback.walk_tb(error.__traceback__)
  )


def _is_cut_off(data: bytes) -> bool:
  """Return whether a file began as an image and lacks the end of one."""
  return any(
    data.startswith(start) and end not in data[-32:]
    for start, end in _ENDS.items()
  )


def _words(error: Exception) -> str:
  """Return an error in a line."""
  return " ".join(str(error).split()) or type(error).__name__
