"""What comes with an image's pixels besides EXIF, XMP and a profile."""

import dataclasses
import math
import struct
from collections.abc import Iterable, Mapping

from PIL import Image, TiffTags

from hdnet_jax.images import png, tiff
from hdnet_jax.images.exif import Block
from hdnet_jax.images.orientation import EXIF_START, TAG

_EXIF, _GPS = 0x8769, 0x8825
_MAKER_NOTE, _INTEROPERABILITY = 0x927C, 0xA005
_POINTING = {_MAKER_NOTE, _INTEROPERABILITY}
# A TIFF file's directory also tells where its pixels lie; these tags do not.
# Description, make, model, software, date, artist, host, copyright.
_PORTABLE_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432)
IPTC_TAG, _IPTC_RESOURCE = 33723, 0x0404
# Tags of pixels and of what is carried: all others would be lost unsaid.
_KNOWN_TAGS = {
  *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278),
  *(279, 280, 281, 282, 283, 284, 288, 289, 290, 291, 292, 293, 296, 297),
  *(301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336),
  *(337, 338, 339, 340, 341, 347, 529, 530, 531, 532, 700, 34675, 65000),
  *(513, 514, IPTC_TAG, 34377, _EXIF, _GPS, *_PORTABLE_TAGS),
}
# Of PNG: those that are written as they were read.
_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt")
# Texts that hold what is carried as XMP and EXIF.
_OTHERWISE = (
  png.XMP,
  *(b"Raw profile type " + what for what in (b"exif", b"APP1", b"xmp")),
)


@dataclasses.dataclass(frozen=True)
class Extras:
  """Metadata that some formats have.

  iptc: of JPEG and TIFF.
  comment: of JPEG.
  chunks: texts, and what colours are, of PNG.
  """

  iptc: bytes | None = None
  comment: bytes | None = None
  chunks: tuple[png.Chunk, ...] = ()


NO_EXTRAS = Extras()


def extras_of(image: Image.Image, chunks: Iterable[png.Chunk]) -> Extras:
  """Those of a loaded image, and of a PNG file's chunks."""
  iptc = None
  resources = image.info.get("photoshop")
  if isinstance(resources, Mapping):
    iptc = resources.get(_IPTC_RESOURCE)
  if image.format == "TIFF":
    iptc = image.tag_v2.get(IPTC_TAG)
    if isinstance(iptc, tuple) and all(isinstance(v, int) for v in iptc):
      iptc = struct.pack(f"<{len(iptc)}I", *iptc)  # written as numbers
  comment = image.info.get("comment")
  if image.format not in ("JPEG", "MPO"):
    comment = None
  return Extras(
    iptc if isinstance(iptc, bytes) and iptc else None,
    comment if isinstance(comment, bytes) and comment else None,
    tuple(
      (name, body)
      for name, body in chunks
      if name in _CHUNKS and body.partition(b"\0")[0] not in _OTHERWISE
    ),
  )


def not_carried(image: Image.Image, chunks: Iterable[png.Chunk]) -> list[str]:
  """What the file has and no file of ours will, in sentences with a verb."""
  notes = []
  segments = getattr(image, "applist", ())
  signed = any(name == "APP11" and b"jumb" in s for name, s in segments)
  if signed or any(name == b"caBX" for name, _ in chunks):
    notes.append(
      "has content credentials (C2PA), which are of the picture as it was, and "
      "are left out."
    )
  if image.format == "GIF" and image.info.get("comment"):
    notes.append("has a comment, which is left out.")
  if image.format == "TIFF":
    others = sorted(set(image.tag_v2) - _KNOWN_TAGS)
    if others:
      words = ", ".join(map(_name, others))
      notes.append(f"has TIFF tags that are left out: {words}.")
  return notes


def from_tiff(data: bytes) -> bytes | None:
  """A TIFF file's description, EXIF and GPS as EXIF data; None without.

  Raises:
    ValueError, struct.error: for damaged ones, and those of BigTIFF.
  """
  main, nested = for_tiff(data)
  if not main and not nested:
    return None
  return EXIF_START + tiff.block({TAG: tiff.shorts(1), **main}, nested)


def for_tiff(exif: bytes | None) -> tuple[dict, dict]:
  """What TIFF files take over of EXIF data, and, by tag, what is nested in it.

  Not what points into the file that it was in: the maker's own notes, and
  interoperability.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  if not exif:
    return {}, {}
  block = Block(exif.removeprefix(EXIF_START))
  entries, _ = block.directory(block.first())
  nested = {}
  for tag in (_EXIF, _GPS):
    if tag in entries:
      inner, _ = block.directory(block.number(entries[tag]))
      found = block.values(inner, set(inner) - _POINTING)
      if found:
        nested[tag] = found
  return block.values(entries, _PORTABLE_TAGS), nested


def left_out(exif: bytes) -> list[str]:
  """Names of what `for_tiff` does not take over.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  block = Block(exif.removeprefix(EXIF_START))
  entries, _ = block.directory(block.first())
  names = [_name(tag) for tag in sorted(set(entries) - _KNOWN_TAGS)]
  if _EXIF in entries:
    inner, _ = block.directory(block.number(entries[_EXIF]))
    if _MAKER_NOTE in inner:
      names.append("the camera maker's notes")
  return names


def _name(tag: int) -> str:
  name = TiffTags.lookup(tag).name
  return f"tag {tag}" if name == "unknown" else name


def resolution(info: Mapping) -> tuple[float, float] | None:
  """Dots per inch, across and down, where the file has sensible ones."""
  try:
    across, down = (float(value) for value in info.get("dpi", ()))
  except (ValueError, TypeError, ZeroDivisionError, OverflowError):
    return None
  sensible = all(math.isfinite(v) and 1 <= v <= 65535 for v in (across, down))
  return (across, down) if sensible else None
