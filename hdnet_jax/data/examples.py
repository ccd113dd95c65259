"""The Example, and how image files become one.

An Example is a dict of NumPy arrays:

  real       uint8 [H, W, 3]  the photo, RGB, 0 to 255
  mask       uint8 [H, W, 1]  1 = foreground, 0 = background
  composite  uint8 [H, W, 3]  the photo with a foreground that does not fit;
                              absent where composites are made on the device
  index      int32 []         the example's place in its source

Names and subsets stay on the host: `source.name(index)`.
"""

import io
import os
import pathlib
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from hdnet_jax.errors import UserError
from hdnet_jax.images import formats, masks, orientation, png
from hdnet_jax.images.pillow import is_of_pillow
from hdnet_jax.images.resize import resize_image, resize_mask

Example = dict[str, np.ndarray]


class Source(Protocol):
  """Random access to a split's examples; safe to read from threads."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Example: ...

  def name(self, index: int) -> str:
    """Return the example's name, such as its file's."""

  def subset(self, index: int) -> str:
    """Return the part of the data set that the example belongs to."""


# Kinds of bad files, as tables name them.
MISSING = "missing file"
UNREADABLE = "unreadable file"
TRUNCATED = "truncated file"
TOO_LARGE = "too many pixels"

# Where Pillow itself begins to warn of images that fill the memory.
MAX_PIXELS = 89_000_000


class BadImage(UserError):
  """A file that cannot be read as an image; `kind` is one of those above."""

  def __init__(self, path: pathlib.Path, kind: str, detail: str):
    self.path, self.kind, self.detail = path, kind, detail
    super().__init__(
      f"{path} does not exist; restore it, or take it off its list"
      if kind == MISSING
      else f"{path} cannot be read as an image ({detail}); replace or remove it"
    )


def read_image(path: pathlib.Path, size: int) -> np.ndarray:
  """Read an RGB image, resized to `size` x `size`, antialiased."""
  return np.asarray(resize_image(open_image(path), size))


def read_mask(path: pathlib.Path, size: int) -> np.ndarray:
  """Read a mask as uint8 0/1, [size, size, 1]; over half is white."""
  return mask_pixels(resize_mask(gray(open_image(path)), size))


def gray(mask: Image.Image) -> Image.Image:
  """Convert a mask of any mode to 8-bit gray ("L"), whose white is 255.

  Raises:
    masks.BadMask: as `masks.values` does.
  """
  if (channel := masks.plain(mask)) is not None:
    # The same for most masks, in a fraction of the time.
    _, most = channel.getextrema()
    return channel if most > 1 else channel.point(lambda level: 255 * level)
  name = mask.info.get("name", "the mask")
  soft, _ = masks.values(name, *masks.split(mask))
  return Image.fromarray(np.rint(soft * np.float32(255)).astype(np.uint8))


def mask_pixels(mask: Image.Image) -> np.ndarray:
  """Convert a gray mask to uint8 0/1, [H, W, 1]; over half is white."""
  return (np.asarray(mask) > 127).astype(np.uint8)[..., None]


def open_image(path: pathlib.Path, max_pixels: int = MAX_PIXELS) -> Image.Image:
  """The decoded image, upright.

  Of its `info`, "name" is the path, and "orientation" EXIF's, 2 to 8, where it
  was turned.

  Raises:
    BadImage: for what is missing, no image, cut off, or of more than
      `max_pixels` pixels, which is found before they are decoded.
  """
  formats.readable()  # registers readers that Pillow has not itself
  data, chunks, _ = png.split(_read(path))
  try:
    # From memory: Pillow does not turn TIFF files that it maps.
    with Image.open(io.BytesIO(data)) as image:
      image.info.update(png.info_of(chunks)[0])
      if image.width * image.height > max_pixels:
        raise BadImage(
          path,
          TOO_LARGE,
          f"{image.width}x{image.height} is over the limit of {max_pixels} "
          "pixels",
        )
      image.load()
      return _upright(image, path)
  except (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
  ) as error:
    raise BadImage(path, TOO_LARGE, _words(error, path)) from None
  except Exception as error:
    if not is_of_pillow(error):
      raise  # our own, or a defect of ours
    words = _words(error, path)
    cut = "truncated" in words.lower() or _is_cut_off(path)
    raise BadImage(path, TRUNCATED if cut else UNREADABLE, words) from None


def _read(path: pathlib.Path | io.BytesIO) -> bytes:
  """A file's bytes; or those of one in memory, as benchmarks have them."""
  if isinstance(path, io.BytesIO):
    return path.read()
  try:
    return path.read_bytes()
  except FileNotFoundError:
    raise BadImage(path, MISSING, "no such file") from None
  except OSError as error:
    raise BadImage(path, UNREADABLE, _words(error, path)) from None


def _upright(image: Image.Image, path: pathlib.Path) -> Image.Image:
  found = orientation.of_image(image)
  turned = orientation.upright(image)
  turned.info["name"] = str(path)
  if found != 1:
    turned.info["orientation"] = found
  return turned


# Formats by their first bytes, and what stands near the end of a whole file.
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89PNG": b"IEND"}


def _is_cut_off(path: pathlib.Path) -> bool:
  """Whether a file is empty, or began as an image and lacks the end of one."""
  if not path.is_file() or not os.access(path, os.R_OK):
    return False
  with path.open("rb") as file:
    start = file.read(4)
    file.seek(max(path.stat().st_size - 32, 0))
    end = file.read()
  if not start:
    return True
  marks = [mark for first, mark in _ENDS.items() if start.startswith(first)]
  return bool(marks) and marks[0] not in end


def _words(error: Exception, path: pathlib.Path) -> str:
  """The error in a line, without the path that stands beside it."""
  if isinstance(error, UnidentifiedImageError):
    return formats.remedy(formats.format_in(path)) or "not an image"
  words = " ".join(str(error).replace(str(path), "it").split())
  return words or type(error).__name__
