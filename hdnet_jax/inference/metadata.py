"""What comes with an image's pixels: orientation, EXIF, XMP, resolution.

EXIF is kept byte for byte, but for the orientation, which is set to 1 once the
pixels are turned.
"""

import math
import re
import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

EXIF_START = b"Exif\0\0"
_ORIENTATION = 0x0112
_SUB_DIRECTORIES = (0x8769, 0x8825)  # EXIF proper, GPS
# A TIFF file's directory also tells where its pixels lie; these tags do not.
# Description, make, model, software, date, artist, host, copyright.
_PORTABLE_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432)
# The two ways in which XMP spells the orientation.
_XMP_ORIENTATION = re.compile(
  rb'(tiff:Orientation\s*=\s*["\']|<tiff:Orientation>\s*)[0-9]'
)
# What damaged EXIF data raises in Pillow's reader and writer.
DAMAGE = (
  *(struct.error, SyntaxError, ValueError, TypeError, KeyError, OSError),
  *(EOFError, IndexError, OverflowError, ZeroDivisionError, AttributeError),
)


def turn(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Samples [H, W, ...] as EXIF's orientation, 1 to 8, says to show them."""
  swapped = samples.swapaxes(0, 1) if orientation >= 5 else samples
  vertical = orientation in (3, 4, 7, 8)
  horizontal = orientation in (2, 3, 6, 7)
  turned = swapped[:: -1 if vertical else 1, :: -1 if horizontal else 1]
  return np.ascontiguousarray(turned)


def upright(exif: bytes) -> tuple[bytes, int]:
  """EXIF data with the orientation set to 1, and the one that it was.

  Raises:
    ValueError, struct.error: for what is not EXIF.
  """
  start = len(EXIF_START) if exif.startswith(EXIF_START) else 0
  data = bytearray(exif[start:])
  order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
  if order is None:
    raise ValueError("no EXIF header")
  (first,) = struct.unpack_from(f"{order}I", data, 4)
  (count,) = struct.unpack_from(f"{order}H", data, first)
  found = 1
  for entry in range(first + 2, first + 2 + 12 * count, 12):
    tag, kind = struct.unpack_from(f"{order}HH", data, entry)
    if tag == _ORIENTATION and kind in (3, 4):  # short, long
      value = f"{order}{'H' if kind == 3 else 'I'}"
      (found,) = struct.unpack_from(value, data, entry + 8)
      struct.pack_into(value, data, entry + 8, 1)
  return EXIF_START + bytes(data), found if 1 <= found <= 8 else 1


def upright_xmp(xmp: bytes | None) -> bytes | None:
  """XMP with its orientation set to 1."""
  return None if xmp is None else _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def from_tiff(image: Image.Image) -> bytes | None:
  """A TIFF image's description, EXIF and GPS as EXIF data; None without."""
  tags = tags_of(image.getexif())
  if not tags:
    return None
  kept = Image.Exif()
  for tag, value in tags.items():
    kept[tag] = value
  kept[_ORIENTATION] = 1
  return _prefixed(kept.tobytes())


def tags_of(exif: Image.Exif) -> dict:
  """What a TIFF file can take over, by tag; nested for EXIF and GPS."""
  tags = {tag: exif[tag] for tag in _PORTABLE_TAGS if tag in exif}
  for tag in _SUB_DIRECTORIES:
    inner = exif.get_ifd(tag) if tag in exif else {}
    if inner:
      tags[tag] = dict(inner)
  return tags


def raw_exif(info: Mapping) -> bytes | None:
  """A JPEG, PNG or WebP image's EXIF data.

  Raises:
    ValueError: for text that should be hexadecimal and is not.
  """
  if info.get("exif"):
    return _prefixed(info["exif"])
  text = info.get("Raw profile type exif")  # older PNG files
  if text is None:
    return None
  return _prefixed(bytes.fromhex("".join(text.split("\n")[3:])))


def resolution(info: Mapping) -> tuple[float, float] | None:
  """Dots per inch, across and down, where the file has sensible ones."""
  try:
    across, down = (float(value) for value in info.get("dpi", ()))
  except (ValueError, TypeError, ZeroDivisionError, OverflowError):
    return None
  sensible = all(math.isfinite(v) and 1 <= v <= 65535 for v in (across, down))
  return (across, down) if sensible else None


def _prefixed(exif: bytes) -> bytes:
  return exif if exif.startswith(EXIF_START) else EXIF_START + exif
