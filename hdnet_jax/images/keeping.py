"""What of a picture's metadata each format keeps, and a note on the rest."""

import dataclasses
import struct
from typing import TYPE_CHECKING

from hdnet_jax.images import metadata, png

if TYPE_CHECKING:
  from hdnet_jax.images.file import Picture

_ICC_SPACE = {"gray": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_SEGMENT = 65533  # bytes, of a JPEG file's
_MAX_XMP = _SEGMENT - len("http://ns.adobe.com/xap/1.0/") - 1
_MAX_IPTC = _SEGMENT - 26
_MAX_PROFILE = 255 * (_SEGMENT - 14)
# PNG's chunks that say what colours are; and what of them sRGB stands for.
_COLOURS, _STANDARD = (b"gAMA", b"cHRM", b"cICP", b"sRGB"), b"sRGB"


@dataclasses.dataclass(frozen=True)
class Kept:
  """Metadata that goes into a file."""

  exif: bytes | None = None
  icc: bytes | None = None
  xmp: bytes | None = None
  extras: metadata.Extras = metadata.NO_EXTRAS


def kept(picture: "Picture", format: str, kind: str) -> tuple[Kept, list[str]]:
  """What a format keeps of a picture, held as of that kind; and notes."""
  notes: list[str] = []
  icc, exif, xmp = picture.icc, picture.exif, picture.xmp
  if icc and icc[16:20] in set(_ICC_SPACE.values()) - {_ICC_SPACE[kind]}:
    icc = None
    notes.append(f"The ICC profile is not one for {kind}, and is left out.")
  if format == "JPEG":
    icc = _short(icc, _MAX_PROFILE, "ICC profile", notes)
    exif = _short(exif, _SEGMENT, "EXIF data", notes)
    xmp = _short(xmp, _MAX_XMP, "XMP data", notes)
  if format == "PNG" and xmp and not _is_text(xmp):
    xmp = None
    notes.append("The XMP data is damaged, and is left out.")
  if format == "TIFF" and exif:
    exif = _for_tiff(exif, notes)
  extras = _extras(picture.extras, format, notes)
  return Kept(exif, icc, xmp, extras), notes


def _for_tiff(exif: bytes, notes: list[str]) -> bytes | None:
  try:
    left = metadata.left_out(exif)
  except (ValueError, struct.error):
    notes.append("The EXIF data is damaged, and is left out.")
    return None
  if left:
    notes.append(f"Of the EXIF data TIFF files do not hold {', '.join(left)}.")
  return exif


def _extras(
  extras: metadata.Extras, format: str, notes: list[str]
) -> metadata.Extras:
  iptc, comment, chunks = extras.iptc, extras.comment, extras.chunks
  if iptc and format not in ("JPEG", "TIFF"):
    iptc = None
    notes.append(f"The IPTC data is left out: {format} has no place for it.")
  if format == "JPEG":
    iptc = _short(iptc, _MAX_IPTC, "IPTC data", notes)
    comment = _short(comment, _SEGMENT, "comment", notes)
  elif comment:
    comment = None
    notes.append(f"The JPEG comment is left out: {format} has no place for it.")
  if chunks and format != "PNG":
    notes += _lost(chunks, format)
    chunks = ()
  return metadata.Extras(iptc, comment, chunks)


def _lost(chunks: tuple[png.Chunk, ...], format: str) -> list[str]:
  """What of PNG's chunks another format does not say."""
  notes = []
  names = {name for name, _ in chunks if name in _COLOURS}
  # What nothing is said of is sRGB, and the others are beside it for its sake.
  if names and (_STANDARD not in names or b"cICP" in names):
    words = ", ".join(sorted(name.decode() for name in names))
    notes.append(
      f"What the PNG file says of its colours ({words}) is left out: {format} "
      "has no place for it; convert it to a profile."
    )
  texts = [found for chunk in chunks if (found := png.text_of(*chunk))]
  if texts:
    words = ", ".join(
      dict.fromkeys(repr(keyword.decode("latin-1")) for keyword, _ in texts)
    )
    notes.append(
      f"The PNG file's texts ({words}) are left out: {format} has no place for "
      "them."
    )
  return notes


def _short(
  data: bytes | None, most: int, what: str, notes: list[str]
) -> bytes | None:
  if data is None or len(data) <= most:
    return data
  notes.append(f"The {what} is too long for JPEG, and is left out.")
  return None


def _is_text(xmp: bytes) -> bool:
  try:
    xmp.decode()
  except UnicodeDecodeError:
    return False
  return True
