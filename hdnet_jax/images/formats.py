"""Name the formats of image files by extension and by contents.

Formats have Pillow's names; its "HEIF" is what files named .heic hold.
"""

import functools
import importlib.util
import os
import pathlib

_WRITTEN = {
  ".jpg": "JPEG",
  ".jpeg": "JPEG",
  ".png": "PNG",
  ".webp": "WEBP",
  ".tif": "TIFF",
  ".tiff": "TIFF",
  ".jpe": "JPEG",
  ".jfif": "JPEG",
}
_READ = _WRITTEN | {
  ".avif": "AVIF",
  ".heic": "HEIF",
  ".heif": "HEIF",
  ".hif": "HEIF",
  ".bmp": "BMP",
  ".dib": "BMP",
  ".gif": "GIF",
}
NAMES = "JPEG, PNG, WebP, TIFF, AVIF, HEIC, BMP or GIF"
NOT_READ = "not in a format that is read"  # what is said of other files

START = 64  # bytes that tell what a file is
_STARTS = {
  b"\xff\xd8\xff": "JPEG",
  b"\x89PNG": "PNG",
  b"RIFF": "WEBP",
  b"II": "TIFF",
  b"MM": "TIFF",
  b"BM": "BMP",
  b"GIF8": "GIF",
}
# Brands of ISO base media files, which the box "ftyp" names.
_AVIF = (b"avif", b"avis")
_HEIF = (
  *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
  *(b"mif1", b"msf1"),
)


def format_of(path: pathlib.PurePath) -> str | None:
  """Return the format that an extension names, of those that are read."""
  return _READ.get(path.suffix.lower())


def written_format_of(path: pathlib.PurePath) -> str | None:
  """Return the format that an extension names, of those that are written."""
  return _WRITTEN.get(path.suffix.lower())


def extensions() -> tuple[str, ...]:
  """Return the extensions of formats that are read."""
  return tuple(_READ)


def written_extensions() -> tuple[str, ...]:
  """Return the extensions of formats that are written."""
  return tuple(_WRITTEN)


def suffix_of(format: str | None) -> str:
  """Return the extension of a format that is written; else .png."""
  suffixes = (suffix for suffix, name in _WRITTEN.items() if name == format)
  return next(suffixes, ".png")


def format_of_contents(start: bytes) -> str | None:
  """Return the format that a file's first `START` bytes are of, or None."""
  if start[4:8] == b"ftyp":
    brands = {start[at : at + 4] for at in range(8, START, 4)}
    if brands.intersection(_AVIF):
      return "AVIF"
    return "HEIF" if brands.intersection(_HEIF) else None
  names = (name for known, name in _STARTS.items() if start.startswith(known))
  return next(names, None)


def format_in(path: os.PathLike[str]) -> str | None:
  """Return the format of a file's contents; None if unknown or unreadable."""
  try:
    with open(path, "rb") as file:
      return format_of_contents(file.read(START))
  except OSError:  # reading the file reports why
    return None


@functools.cache
def readable() -> tuple[str, ...]:
  """Return the formats that Pillow reads with what is installed."""
  from PIL import features

  formats = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"]
  # Checking all of Pillow's modules would load tkinter.
  if "avif" in features.modules and features.check_module("avif"):
    formats.append("AVIF")
  if importlib.util.find_spec("pillow_heif") is not None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    formats.append("HEIF")
  return tuple(formats)


def remedy(format: str | None) -> str | None:
  """Return what to install to read a format; None if there is nothing to."""
  if format in readable():
    return None
  return {
    "AVIF": 'is an AVIF image, which needs pip install "pillow>=11.3"',
    "HEIF": 'is a HEIC image, which needs pip install ".[heic]"',
  }.get(format or "")
