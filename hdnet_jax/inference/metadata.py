"""What comes with an image's pixels: orientation, EXIF, XMP, resolution.

EXIF is kept byte for byte, but for the orientation, which is set to 1 once the
pixels are turned.
"""

import math
import re
import struct
from collections.abc import Mapping

from PIL import Image

from hdnet_jax import orientation
from hdnet_jax.orientation import EXIF_START

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


def upright(exif: bytes) -> tuple[bytes, int]:
  """EXIF data with the orientation set to 1, and the one that it was.

  Raises:
    ValueError, struct.error: for what is not EXIF.
  """
  found, place = orientation.of_exif(exif)
  data = bytearray(exif)
  if place is not None:
    little = b"II*" in exif[:10]
    data[place : place + 2] = (1).to_bytes(2, "little" if little else "big")
  data = bytes(data).removeprefix(EXIF_START)
  return EXIF_START + data, found


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
  kept[orientation.TAG] = 1
  return EXIF_START + kept.tobytes().removeprefix(EXIF_START)


def tags_of(exif: Image.Exif) -> dict:
  """What a TIFF file can take over, by tag; nested for EXIF and GPS."""
  tags = {tag: exif[tag] for tag in _PORTABLE_TAGS if tag in exif}
  for tag in _SUB_DIRECTORIES:
    inner = exif.get_ifd(tag) if tag in exif else {}
    if inner:
      tags[tag] = dict(inner)
  return tags


def resolution(info: Mapping) -> tuple[float, float] | None:
  """Dots per inch, across and down, where the file has sensible ones."""
  try:
    across, down = (float(value) for value in info.get("dpi", ()))
  except (ValueError, TypeError, ZeroDivisionError, OverflowError):
    return None
  sensible = all(math.isfinite(v) and 1 <= v <= 65535 for v in (across, down))
  return (across, down) if sensible else None
