"""Read what comes with an image's pixels, and tell what a format can hold."""

import dataclasses
import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from PIL import Image, TiffImagePlugin, TiffTags

from hdnet_jax.images import exif, png, tiff, xmp
from hdnet_jax.images.exif import EXIF, GPS, ORIENTATION
from hdnet_jax.images.transforms import turned_size

if TYPE_CHECKING:
  from hdnet_jax.images.opening import OpenImage

_BIG_TIFF = (b"+\0", b"\0+")
_MAKER_NOTE, _INTEROPERABILITY = 0x927C, 0xA005
# A TIFF file's directory also tells where its pixels lie; these tags do not.
# Description, make, model, software, date, artist, host, copyright.
_PORTABLE_TAGS = (270, 271, 272, 305, 306, 315, 316, 33432)
_IPTC_TAG, _IPTC_RESOURCE = 33723, 0x0404
# Tags of pixels and of what is carried over. The loss of others is reported.
_KNOWN_TAGS = {
  *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278),
  *(279, 280, 281, 282, 283, 284, 288, 289, 290, 291, 292, 293, 296, 297),
  *(301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336),
  *(337, 338, 339, 340, 341, 347, 529, 530, 531, 532, 700, 34675, 65000),
  *(513, 514, _IPTC_TAG, 34377, EXIF, GPS, *_PORTABLE_TAGS),
}
# PNG's chunks that define its colors, and all chunks that are written as read.
_COLORS = (b"gAMA", b"cHRM", b"cICP", b"sRGB")
_CHUNKS = (*_COLORS, b"tEXt", b"zTXt", b"iTXt")
_ICC_SPACE = {"gray": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
_SEGMENT = 65533  # bytes, of a JPEG file's
_LONGEST_IN_JPEG = {
  "icc": (255 * (_SEGMENT - 14), "ICC profile"),
  "exif": (_SEGMENT, "EXIF data"),
  "xmp": (_SEGMENT - len("http://ns.adobe.com/xap/1.0/") - 1, "XMP data"),
  "iptc": (_SEGMENT - 26, "IPTC data"),
  "comment": (_SEGMENT, "comment"),
}


@dataclasses.dataclass(frozen=True)
class Metadata:
  """What comes with an image's pixels.

  exif, xmp: corrected for the upright image and its size.
  icc: an ICC profile.
  dpi: dots per inch, across and down.
  iptc: of JPEG and TIFF.
  comment: of JPEG.
  chunks: of PNG: texts, and those that define its colors.
  """

  exif: bytes | None = None
  icc: bytes | None = None
  xmp: bytes | None = None
  dpi: tuple[float, float] | None = None
  iptc: bytes | None = None
  comment: bytes | None = None
  chunks: tuple[png.Chunk, ...] = ()


NO_METADATA = Metadata()


def read(file: "OpenImage", orientation: int, notes: list[str]) -> Metadata:
  """Read a loaded image's metadata, corrected for the upright image.

  Args:
    file: loaded, so that Pillow has turned it if it is TIFF.
    orientation: EXIF's, of the samples in the file.
    notes: gets sentences on what is left out, which begin with a verb.
  """
  image = file.image
  is_turned = image.format == "TIFF"
  size = image.size if is_turned else turned_size(image.size, orientation)
  data = _read_exif(file, size, orientation, notes)
  dpi = _resolution(image.info)
  if dpi and not is_turned and orientation >= 5:
    dpi = (dpi[1], dpi[0])
  comment = image.info.get("comment")
  notes += _not_carried(file)
  return Metadata(
    exif=data,
    icc=_nonempty(image.info.get("icc_profile")),
    xmp=_read_xmp(image, size, notes),
    dpi=dpi,
    iptc=_read_iptc(image),
    comment=_nonempty(comment) if image.format in ("JPEG", "MPO") else None,
    chunks=tuple(
      (name, body)
      for name, body in file.chunks
      if name in _CHUNKS and not png.is_metadata(body)
    ),
  )


def _nonempty(data: object) -> bytes | None:
  return data if isinstance(data, bytes) and data else None


def _read_exif(
  file: "OpenImage",
  size: tuple[int, int],
  orientation: int,
  notes: list[str],
) -> bytes | None:
  try:
    if file.image.format != "TIFF":
      data = exif.from_info(file.image.info)
    elif file.data[2:4] in _BIG_TIFF:
      notes.append("is a BigTIFF file, whose EXIF data is left out.")
      return None
    else:
      data = _from_tiff(file.data)
    return None if data is None else exif.corrected(data, size, orientation)
  except (ValueError, struct.error):
    notes.append("has damaged EXIF data, which is left out.")
    return None


def _read_xmp(
  image: Image.Image, size: tuple[int, int], notes: list[str]
) -> bytes | None:
  data = _nonempty(image.info.get("xmp"))
  if data is None:
    return None
  data, gone = xmp.corrected(data, size)
  if gone:
    notes.append(f"tells of what is left out here: {', '.join(gone)}.")
  return data


def _read_iptc(image: Image.Image) -> bytes | None:
  iptc = None
  resources = image.info.get("photoshop")
  if isinstance(resources, Mapping):
    iptc = resources.get(_IPTC_RESOURCE)
  if isinstance(image, TiffImagePlugin.TiffImageFile):
    iptc = image.tag_v2.get(_IPTC_TAG)
    if isinstance(iptc, tuple) and all(isinstance(v, int) for v in iptc):
      iptc = struct.pack(f"<{len(iptc)}I", *iptc)  # written as numbers
  return _nonempty(iptc)


def _not_carried(file: "OpenImage") -> list[str]:
  """Return sentences on what the file has that is never written."""
  image, notes = file.image, []
  segments = getattr(image, "applist", ())
  signed = any(name == "APP11" and b"jumb" in s for name, s in segments)
  if signed or any(name == b"caBX" for name, _ in file.chunks):
    notes.append(
      "has content credentials (C2PA), which are of the picture as it was, and "
      "are left out."
    )
  if image.format == "GIF" and image.info.get("comment"):
    notes.append("has a comment, which is left out.")
  if isinstance(image, TiffImagePlugin.TiffImageFile):
    others = sorted(set(image.tag_v2) - _KNOWN_TAGS)
    if others:
      words = ", ".join(map(_name, others))
      notes.append(f"has TIFF tags that are left out: {words}.")
  return notes


def _resolution(info: Mapping) -> tuple[float, float] | None:
  """Return dots per inch, where the file has sensible ones."""
  try:
    across, down = (float(value) for value in info.get("dpi", ()))
  except (ValueError, TypeError, ZeroDivisionError, OverflowError):
    return None
  sensible = all(math.isfinite(v) and 1 <= v <= 65535 for v in (across, down))
  return (across, down) if sensible else None


def _from_tiff(data: bytes) -> bytes | None:
  """Return a TIFF file's description, EXIF and GPS as EXIF data, or None.

  Raises:
    ValueError, struct.error: for damaged ones, and those of BigTIFF.
  """
  main, nested = tiff_tags(data)
  if not main and not nested:
    return None
  main = {ORIENTATION: tiff.shorts(1), **main}
  return exif.PREFIX + tiff.block(main, nested)


def tiff_tags(data: bytes | None) -> tuple[dict, dict]:
  """Return the tags of EXIF data that TIFF files hold, and nested directories.

  The maker's notes and the interoperability directory are left out: they point
  into the file that they were in.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  if not data:
    return {}, {}
  block = exif.Block(data)
  nested = {}
  for tag in (EXIF, GPS):
    inner = block.nested(tag)
    pointing = {_MAKER_NOTE, _INTEROPERABILITY}
    if found := block.values(inner, set(inner) - pointing):
      nested[tag] = found
  return block.values(block.main, _PORTABLE_TAGS), nested


def _name(tag: int) -> str:
  name = TiffTags.lookup(tag).name
  return f"tag {tag}" if name == "unknown" else name


def held_by(
  metadata: Metadata, format: str, color_space: str
) -> tuple[Metadata, list[str]]:
  """Return the metadata that a format can hold, and notes on the rest.

  Args:
    color_space: "gray", "RGB" or "CMYK": of the samples that are written.
  """
  held, notes = dict(vars(metadata)), []

  def leave_out(field: str, sentence: str) -> None:
    held[field] = None
    notes.append(sentence)

  space = (metadata.icc or b"")[16:20]
  if space in _ICC_SPACE.values() and space != _ICC_SPACE[color_space]:
    leave_out(
      "icc", f"The ICC profile is not one for {color_space}, and is left out."
    )
  if format == "JPEG":
    for field, (longest, words) in _LONGEST_IN_JPEG.items():
      if len(held[field] or b"") > longest:
        words = f"The {words} is too long for JPEG, and is left out."
        leave_out(field, words)
  if format == "PNG" and not _is_text(metadata.xmp or b""):
    leave_out("xmp", "The XMP data is damaged, and is left out.")
  if format == "TIFF" and metadata.exif:
    try:
      notes += _not_in_tiff(metadata.exif)
    except (ValueError, struct.error):
      leave_out("exif", "The EXIF data is damaged, and is left out.")
  no_place = f"is left out: {format} has no place for it."
  if metadata.iptc and format not in ("JPEG", "TIFF"):
    leave_out("iptc", f"The IPTC data {no_place}")
  if metadata.comment and format != "JPEG":
    leave_out("comment", f"The JPEG comment {no_place}")
  if metadata.chunks and format != "PNG":
    held["chunks"] = ()
    notes += _lost_chunks(metadata.chunks, format)
  return Metadata(**held), notes


def _is_text(xmp: bytes) -> bool:
  try:
    xmp.decode()
  except UnicodeDecodeError:
    return False
  return True


def _not_in_tiff(data: bytes) -> list[str]:
  """Return a note on what `tiff_tags` leaves out; raise as that does."""
  block = exif.Block(data)
  names = [_name(tag) for tag in sorted(set(block.main) - _KNOWN_TAGS)]
  if _MAKER_NOTE in block.nested(EXIF):
    names.append("the camera maker's notes")
  if not names:
    return []
  return [f"Of the EXIF data TIFF files do not hold {', '.join(names)}."]


def _lost_chunks(chunks: tuple[png.Chunk, ...], format: str) -> list[str]:
  """Return notes on PNG's chunks that another format has no place for."""
  notes = []
  names = {name for name, _ in chunks if name in _COLORS}
  # Colors are sRGB where no chunk defines them. So nothing is lost with an sRGB
  # chunk, nor with the gAMA and cHRM beside it, which only approximate it.
  if names and (b"sRGB" not in names or b"cICP" in names):
    words = ", ".join(sorted(name.decode() for name in names))
    notes.append(
      f"What the PNG file says of its colours ({words}) is left out: {format} "
      "has no place for it; convert it to a profile."
    )
  texts = [text for chunk in chunks if (text := png.text_of(*chunk))]
  if texts:
    keywords = (repr(keyword.decode("latin-1")) for keyword, _ in texts)
    words = ", ".join(dict.fromkeys(keywords))
    notes.append(
      f"The PNG file's texts ({words}) are left out: {format} has no place for "
      "them."
    )
  return notes
