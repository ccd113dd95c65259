"""EXIF's orientation: how the stored pixels of a photo are turned to be shown.

It is 1 to 8; 1 is upright. Photos and masks, for training and for inference,
are turned upright as they are read.
"""

import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

EXIF_START = b"Exif\0\0"
TAG = 0x0112
# By Pillow's words, of what is stored.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


def turn(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Samples [H, W, ...] as the orientation says to show them."""
  swapped = samples.swapaxes(0, 1) if orientation >= 5 else samples
  vertical = orientation in (3, 4, 7, 8)
  horizontal = orientation in (2, 3, 6, 7)
  turned = swapped[:: -1 if vertical else 1, :: -1 if horizontal else 1]
  return np.ascontiguousarray(turned)


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
  """Width and height after `turn`."""
  return size[::-1] if orientation >= 5 else size


def inverse(orientation: int) -> int:
  """The orientation that undoes another one."""
  return {6: 8, 8: 6}.get(orientation, orientation)


def raw_exif(info: Mapping) -> bytes | None:
  """The EXIF data of a loaded PIL image's `info`, of JPEG, PNG or WebP.

  Raises:
    ValueError: for text that should be hexadecimal and is not.
  """
  if info.get("exif"):
    return _prefixed(info["exif"])
  text = info.get("Raw profile type exif")  # older PNG files
  if text is None:
    return None
  return _prefixed(bytes.fromhex("".join(text.split("\n")[3:])))


def of_exif(exif: bytes) -> tuple[int, int | None]:
  """The orientation in EXIF data, and where in it that stands, if it does.

  Raises:
    ValueError, struct.error: for what is not EXIF.
  """
  start = len(EXIF_START) if exif.startswith(EXIF_START) else 0
  order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[start : start + 4])
  if order is None:
    raise ValueError("no EXIF header")
  (first,) = struct.unpack_from(f"{order}I", exif, start + 4)
  (count,) = struct.unpack_from(f"{order}H", exif, start + first)
  found = 1, None
  for place in range(count):
    entry = start + first + 2 + 12 * place
    tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
    if tag == TAG and kind in (3, 4):  # short, long
      value = f"{order}{'H' if kind == 3 else 'I'}"
      (orientation,) = struct.unpack_from(value, exif, entry + 8)
      found = orientation if 1 <= orientation <= 8 else 1, entry + 8
  return found


def of_image(image: Image.Image) -> int:
  """The orientation of a loaded PIL image's pixels; 1 where none is said."""
  if image.format == "TIFF":  # Pillow has turned it already
    return 1
  try:
    exif = raw_exif(image.info)
    return 1 if exif is None else of_exif(exif)[0]
  except (ValueError, struct.error):  # damaged: viewers do not turn it, either
    return 1


def upright(image: Image.Image) -> Image.Image:
  """A loaded PIL image turned upright, its `info` without EXIF data."""
  orientation = of_image(image)
  if orientation == 1:
    return image
  turned = image.transpose(_TURNS[orientation])
  for name in ("exif", "Raw profile type exif"):
    turned.info.pop(name, None)
  return turned


def _prefixed(exif: bytes) -> bytes:
  return exif if exif.startswith(EXIF_START) else EXIF_START + exif
