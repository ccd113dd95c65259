"""Correct XMP for the upright image.

It is edited as bytes, so that all else of it stays as it is.
"""

import re

# An attribute in quotes, or an element with all that is in it.
_ATTRIBUTE = rb"\s(?:%b)\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_ELEMENT = rb"<(%b)\b[^>]*?(?:/>|>.*?</\1\s*>)"
_CONTAINER = rb"(?:G?Container):Directory"
# What is not written, and the names in XMP that would say it is there.
_GONE = {
  "gain map": rb"(?:hdrgm|HDRGainMap):[\w-]+",
  "motion photo": rb"GCamera:(?:MotionPhoto|MicroVideo)\w*",
  "further images": _CONTAINER,
  "extended XMP": rb"xmpNote:HasExtendedXMP",
  "thumbnail": rb"(?:xmp|xap):Thumbnails",
}
_PREFIXES = (rb"hdrgm", rb"HDRGainMap", rb"G?Container", rb"Item", rb"xmpNote")
_WIDTHS = rb"tiff:ImageWidth|exif:PixelXDimension"
_HEIGHTS = rb"tiff:ImageLength|exif:PixelYDimension"
_LARGEST = 2**20  # bytes; hostile XMP of much more takes hours to edit


def corrected(xmp: bytes, size: tuple[int, int]) -> tuple[bytes | None, list]:
  """Return XMP corrected for the upright image, and names of what is removed.

  Args:
    size: width and height, upright.

  Returns:
    None in place of XMP that is too long to be edited.
  """
  if len(xmp) > _LARGEST:
    return None, ["XMP"]
  xmp = _set(xmp, rb"tiff:Orientation", 1)
  for names, side in zip((_WIDTHS, _HEIGHTS), size, strict=True):
    xmp = _set(xmp, names, side)
  gone = []
  for what, names in _GONE.items():
    before = len(xmp)
    xmp = re.sub(_ELEMENT % names, b"", xmp, flags=re.DOTALL)
    xmp = re.sub(_ATTRIBUTE % names, b"", xmp)
    if len(xmp) != before:
      gone.append(what)
  if gone:
    xmp = _without_unused(xmp)
  return xmp, [what for what in gone if what != "thumbnail"]


def _set(xmp: bytes, names: bytes, value: int) -> bytes:
  """Set a number, be it in an attribute or an element."""
  number = rb"\g<1>%d" % value
  xmp = re.sub(rb"(\b(?:%b)\s*=\s*[\"'])[0-9]+" % names, number, xmp)
  return re.sub(rb"(<(?:%b)>\s*)[0-9]+" % names, number, xmp)


def _without_unused(xmp: bytes) -> bytes:
  """Remove the declarations of namespaces that are no longer used."""
  for prefix in _PREFIXES:
    if not re.search(rb"[<\s/]%b:" % prefix, xmp):
      xmp = re.sub(_ATTRIBUTE % (rb"xmlns:" + prefix), b"", xmp)
  return xmp
