"""Read EXIF's orientation, and correct EXIF data for the upright image.

The data are kept byte for byte, except for what would no longer be true: the
orientation, once the pixels are turned; sizes, the resolution and the subject's
place, which turn with the pixels; and the thumbnail, which shows the old image.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from PIL import Image

from hdnet_jax.images import tiff

PREFIX = b"Exif\0\0"
ORIENTATION, EXIF, GPS = 0x0112, 0x8769, 0x8825  # tags
_SHORT, _LONG = 3, 4
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_RESOLUTIONS = ((0x011A, 0x011B), (0xA20E, 0xA20F))  # across and down
_SUBJECTS = (0x9214, 0xA214)  # x, y and perhaps a size, in pixels
# Tags of the offset and length of a thumbnail's data, as JPEG or in strips.
_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))


def from_info(info: Mapping) -> bytes | None:
  """Return the EXIF data of a loaded PIL image's `info`, of JPEG, PNG or WebP.

  Raises:
    ValueError: for text that should be hexadecimal and is not.
  """
  exif = info.get("exif")
  if not exif:
    text = info.get("Raw profile type exif")  # older PNG files
    if text is None:
      return None
    exif = bytes.fromhex("".join(text.split("\n")[3:]))
  return PREFIX + exif.removeprefix(PREFIX)


def orientation_of(exif: bytes) -> int:
  """Return the orientation in EXIF data, 1 to 8; 1 if missing or invalid.

  Raises:
    ValueError, struct.error: for what is not EXIF.
  """
  block = Block(exif)
  entry = block.main.get(ORIENTATION)
  if entry is None or entry.kind not in (_SHORT, _LONG):
    return 1
  value = block.number(entry)
  return value if 1 <= value <= 8 else 1


def orientation_of_image(image: Image.Image) -> int:
  """Return the orientation of a loaded PIL image's pixels, 1 to 8."""
  if image.format == "TIFF":  # Pillow has turned it already
    return 1
  try:
    exif = from_info(image.info)
    return 1 if exif is None else orientation_of(exif)
  except (ValueError, struct.error):  # damaged: viewers do not turn it, either
    return 1


def without_thumbnail(exif: bytes) -> bytes:
  """Return EXIF data without the thumbnail, otherwise unchanged.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  block = Block(exif)
  block.drop_thumbnail()
  return PREFIX + bytes(block.data)


def corrected(exif: bytes, size: tuple[int, int], orientation: int) -> bytes:
  """Return the EXIF data of an image that was turned upright.

  Args:
    exif: with or without its prefix.
    size: width and height, upright.
    orientation: EXIF's, before the image was turned.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  block = Block(exif)
  if ORIENTATION in block.main:
    block.write(block.main[ORIENTATION], 1)
  for directory in (block.main, block.nested(EXIF)):
    for tags, side in zip((_WIDTHS, _HEIGHTS), size, strict=True):
      for tag in tags:
        if tag in directory:
          block.write(directory[tag], side)
    if orientation >= 5:
      block.swap_resolutions(directory)
    if orientation != 1:
      block.turn_subjects(directory, size, orientation)
  block.drop_thumbnail()
  return PREFIX + bytes(block.data)


class Entry(NamedTuple):
  kind: int
  length: int  # how many numbers
  place: int  # where its value is, or the offset to its value


Directory = dict[int, Entry]  # by tag


class Block:
  """A copy of EXIF data, given with or without their prefix; it may be changed.

  main: the first directory.
  """

  def __init__(self, exif: bytes | bytearray):
    self.data = bytearray(exif.removeprefix(PREFIX))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(self.data[:4]))
    if order is None:
      raise ValueError("no EXIF header")
    self.order = order
    self.main, self._end = self._directory(self._read("I", 4))

  def nested(self, tag: int) -> Directory:
    """Return the directory that an entry of the first one points to."""
    if tag not in self.main:
      return {}
    return self._directory(self.number(self.main[tag]))[0]

  def values(
    self, directory: Directory, tags: Iterable[int]
  ) -> dict[int, tiff.Value]:
    """Return a directory's values of these tags; damaged ones are left out."""
    data = bytes(self.data)
    found = {
      tag: tiff.read_value(data, self.order, *directory[tag])
      for tag in tags
      if tag in directory
    }
    return {tag: value for tag, value in found.items() if value}

  def number(self, entry: Entry) -> int:
    return self._read("H" if entry.kind == _SHORT else "I", entry.place)

  def write(self, entry: Entry, value: int) -> None:
    """Replace an entry's number; widen it from SHORT to LONG if needed."""
    if entry.kind not in (_SHORT, _LONG) or entry.length != 1:
      return
    if entry.kind == _SHORT and value < 2**16:
      self._write("HH", entry.place, value, 0)
      return
    self._write("HII", entry.place - 6, _LONG, 1, value)

  def swap_resolutions(self, directory: Directory) -> None:
    for tags in _RESOLUTIONS:
      across, down = (directory.get(tag) for tag in tags)
      if across and down and across[:2] == down[:2]:
        value = self._read("I", across.place)
        self._write("I", across.place, self._read("I", down.place))
        self._write("I", down.place, value)

  def turn_subjects(
    self, directory: Directory, size: tuple[int, int], orientation: int
  ) -> None:
    """Turn the subject's place as the image was turned; `size` is upright."""
    for tag in _SUBJECTS:
      entry = directory.get(tag)
      if entry is None or entry.kind != _SHORT or not 2 <= entry.length <= 4:
        continue
      place = entry.place if entry.length == 2 else self._read("I", entry.place)
      x, y, *extent = (
        self._read("H", place + 2 * i) for i in range(entry.length)
      )
      if orientation >= 5:
        x, y, extent = y, x, extent[::-1]
      if orientation in (2, 3, 6, 7):
        x = max(size[0] - 1 - x, 0)
      if orientation in (3, 4, 7, 8):
        y = max(size[1] - 1 - y, 0)
      self._write("H" * entry.length, place, x, y, *extent)

  def drop_thumbnail(self) -> None:
    """Remove the second directory, the thumbnail's, and blank its data."""
    after = self._end
    if after + 4 > len(self.data):
      return  # some cameras leave the offset out
    start = self._read("I", after)
    self._write("I", after, 0)
    if not start:
      return
    try:
      entries, end = self._directory(start)
      for offset, length in _THUMBNAILS:
        if offset in entries and length in entries:
          first = self.number(entries[offset])
          last = first + self.number(entries[length])
          if end <= first or last <= start:
            self._blank(max(first, after + 4), last)
      self._blank(start, end)
    except (ValueError, struct.error):
      return  # damaged, and nothing points to it any more

  def _directory(self, start: int) -> tuple[Directory, int]:
    """Return entries by tag, and where the offset of the next directory is."""
    count, entries = self._read("H", start), {}
    end = start + 2 + 12 * count
    for place in range(start + 2, end, 12):
      tag, kind = self._read("H", place), self._read("H", place + 2)
      entries[tag] = Entry(kind, self._read("I", place + 4), place + 8)
    return entries, end

  def _blank(self, first: int, last: int) -> None:
    last = min(last, len(self.data))
    self.data[first:last] = bytes(max(last - first, 0))

  def _read(self, kind: str, place: int) -> int:
    return struct.unpack_from(self.order + kind, self.data, place)[0]

  def _write(self, kinds: str, place: int, *values: int) -> None:
    struct.pack_into(self.order + kinds, self.data, place, *values)
