"""EXIF data made true of the picture that it is written beside.

It is kept byte for byte, but for what would be wrong: the orientation, once the
pixels are turned; sizes, the resolution and the subject's place, which turn
with them; and the thumbnail, which shows what was.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from hdnet_jax.images import tiff
from hdnet_jax.images.orientation import EXIF_START, TAG

_SHORT, _LONG = 3, 4
_EXIF = 0x8769
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
_RESOLUTIONS = ((0x011A, 0x011B), (0xA20E, 0xA20F))  # across and down
_SUBJECTS = (0x9214, 0xA214)  # x, y and perhaps a size, in pixels
# A thumbnail's data: where they are and how long, as JPEG or in strips.
_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))


def without_thumbnail(exif: bytes) -> bytes:
  """EXIF data as it is, but for the thumbnail.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  block = Block(bytearray(exif.removeprefix(EXIF_START)))
  _, after = block.directory(block.first())
  block.drop_thumbnail(after)
  return EXIF_START + bytes(block.data)


class Entry(NamedTuple):
  kind: int
  count: int
  place: int  # of its value, or of the offset to that


def corrected(exif: bytes, size: tuple[int, int], orientation: int) -> bytes:
  """EXIF data of a picture that was turned upright by `orientation`.

  Args:
    exif: with or without its prefix.
    size: width and height, upright.

  Raises:
    ValueError, struct.error: for damaged data.
  """
  block = Block(bytearray(exif.removeprefix(EXIF_START)))
  first = block.first()
  main, after = block.directory(first)
  directories = [main]
  if _EXIF in main:
    directories.append(block.directory(block.number(main[_EXIF]))[0])
  if TAG in main:
    block.write(main[TAG], 1)
  for directory in directories:
    block.set_size(directory, size)
    if orientation >= 5:
      block.swap_resolutions(directory)
    if orientation != 1:
      block.turn_subjects(directory, size, orientation)
  block.drop_thumbnail(after)
  return EXIF_START + bytes(block.data)


class Block:
  """EXIF data as a TIFF file, changed in place."""

  def __init__(self, data: bytes | bytearray):
    self.data = data
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
      raise ValueError("no EXIF header")
    self.order = order

  def first(self) -> int:
    return self._read("I", 4)

  def directory(self, start: int) -> tuple[dict[int, Entry], int]:
    """Its entries by tag, and where the offset to the next one stands."""
    count, entries = self._read("H", start), {}
    for place in range(count):
      at = start + 2 + 12 * place
      tag, kind = self._read("H", at), self._read("H", at + 2)
      number = self._read("I", at + 4)
      entries[tag] = Entry(kind, number, at + 8)
    return entries, start + 2 + 12 * count

  def values(
    self, directory: dict[int, Entry], tags: Iterable[int]
  ) -> dict[int, tiff.Value]:
    """Those of these tags that are in the directory, and whole."""
    found = {
      tag: tiff.read_value(self.data, self.order, *directory[tag])
      for tag in tags
      if tag in directory
    }
    return {tag: value for tag, value in found.items() if value}

  def number(self, entry: Entry) -> int:
    return self._read("H" if entry.kind == _SHORT else "I", entry.place)

  def write(self, entry: Entry, value: int) -> None:
    """A number in place of an entry's, of the same or a wider type."""
    if entry.kind not in (_SHORT, _LONG) or entry.count != 1:
      return
    if entry.kind == _SHORT and value < 2**16:
      self._write("HH", entry.place, value, 0)
      return
    self._write("HI", entry.place - 6, _LONG, 1)
    self._write("I", entry.place, value)

  def set_size(self, directory: dict, size: tuple[int, int]) -> None:
    for tags, side in zip((_WIDTHS, _HEIGHTS), size, strict=True):
      for tag in tags:
        if tag in directory:
          self.write(directory[tag], side)

  def swap_resolutions(self, directory: dict) -> None:
    for across, down in _RESOLUTIONS:
      if across not in directory or down not in directory:
        continue
      one, other = directory[across], directory[down]
      if one[:2] == other[:2]:
        a, b = (self.data[e.place : e.place + 4] for e in (one, other))
        self.data[one.place : one.place + 4] = b
        self.data[other.place : other.place + 4] = a

  def turn_subjects(
    self, directory: dict, size: tuple[int, int], orientation: int
  ) -> None:
    for tag in _SUBJECTS:
      entry = directory.get(tag)
      if entry is None or entry.kind != _SHORT or not 2 <= entry.count <= 4:
        continue
      place = entry.place
      if entry.count > 2:
        place = self._read("I", place)
      values = [self._read("H", place + 2 * i) for i in range(entry.count)]
      x, y, *extent = values
      if orientation >= 5:
        x, y, extent = y, x, extent[::-1]
      if orientation in (2, 3, 6, 7):
        x = max(size[0] - 1 - x, 0)
      if orientation in (3, 4, 7, 8):
        y = max(size[1] - 1 - y, 0)
      values = x, y, *extent
      self._write("H" * entry.count, place, *values)

  def drop_thumbnail(self, after: int) -> None:
    """Takes the second directory out, and blanks what it holds."""
    if after + 4 > len(self.data):
      return  # some cameras leave the offset out
    start = self._read("I", after)
    self._write("I", after, 0)
    if not start:
      return
    try:
      entries, end = self.directory(start)
      for offset, length in _THUMBNAILS:
        if offset in entries and length in entries:
          first = self.number(entries[offset])
          last = first + self.number(entries[length])
          if end <= first or last <= start:
            self._blank(max(first, after + 4), last)
      self._blank(start, end)
    except (ValueError, struct.error):
      return  # damaged, and nothing points to it any more

  def _blank(self, first: int, last: int) -> None:
    last = min(last, len(self.data))
    self.data[first:last] = bytes(max(last - first, 0))

  def _read(self, kind: str, place: int) -> int:
    return struct.unpack_from(self.order + kind, self.data, place)[0]

  def _write(self, kinds: str, place: int, *values: int) -> None:
    struct.pack_into(self.order + kinds, self.data, place, *values)
