"""TIFF files and EXIF blocks, written here: directories of tags with values.

A value is of a kind that TIFF numbers; its bytes are little-endian.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
  from hdnet_jax.images.encode import Encodable

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
# Bytes of an item of each kind, and of the numbers that it is made of.
_ITEMS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4}
_ITEMS |= {12: 8, 13: 4}
_NUMBERS = {**_ITEMS, 5: 4, 10: 4}
_HEADER = 8  # bytes before the first directory
_BLOCK = 2**20  # bytes compressed at a time
LEVEL = 2  # zlib's; higher ones take twice the time and gain nothing on photos
_DEFLATE, _HORIZONTAL = 8, 2  # TIFF's numbers of a compression and a predictor


class Value(NamedTuple):
  kind: int
  data: bytes

  @property
  def count(self) -> int:
    return len(self.data) // _ITEMS[self.kind]


Directory = Mapping[int, Value]


def shorts(*numbers: int) -> Value:
  return Value(_SHORT, struct.pack(f"<{len(numbers)}H", *numbers))


def longs(*numbers: int) -> Value:
  return Value(_LONG, struct.pack(f"<{len(numbers)}I", *numbers))


def rational(number: float) -> Value:
  fraction = Fraction(number).limit_denominator(2**16)
  return Value(_RATIONAL, struct.pack("<II", *fraction.as_integer_ratio()))


def read_value(
  data: bytes, order: str, kind: int, count: int, place: int
) -> Value | None:
  """An entry's value; None where it lies outside of the data, or is unknown.

  Args:
    data: of a TIFF file or EXIF block.
    order: of its bytes, "<" or ">".
    kind, count: the entry's.
    place: of the four bytes that are its value, or the offset to that.
  """
  if kind not in _ITEMS:
    return None
  length = _ITEMS[kind] * count
  if length > 4:
    (place,) = struct.unpack_from(f"{order}I", data, place)
  value = bytes(data[place : place + length])
  if len(value) != length:
    return None
  if order == ">":
    value = np.frombuffer(value, f">u{_NUMBERS[kind]}")
    value = value.astype(value.dtype.newbyteorder("<")).tobytes()
  return Value(kind, value)


def directories(
  main: Directory, nested: Mapping[int, Directory], start: int = _HEADER
) -> bytes:
  """A directory at `start`, and those that it points to by tag, behind it."""
  tags = {**main, **{tag: longs(0) for tag in nested}}
  at = start + _length(tags)
  parts = []
  for tag, directory in nested.items():
    tags[tag] = longs(at)
    parts.append(_directory(directory, at))
    at += len(parts[-1])
  return b"".join([_directory(tags, start), *parts])


def block(main: Directory, nested: Mapping[int, Directory]) -> bytes:
  """A whole block of tags, as EXIF data are, without their prefix."""
  return struct.pack("<2sHI", b"II", 42, _HEADER) + directories(main, nested)


def _length(directory: Directory) -> int:
  outside = (len(value.data) for value in directory.values())
  padded = sum(size + size % 2 for size in outside if size > 4)
  return 2 + 12 * len(directory) + 4 + padded


def _directory(directory: Directory, start: int) -> bytes:
  at = start + 2 + 12 * len(directory) + 4
  entries, outside = [struct.pack("<H", len(directory))], []
  for tag, value in sorted(directory.items()):
    entries.append(struct.pack("<HHI", tag, value.kind, value.count))
    if len(value.data) <= 4:
      entries.append(value.data.ljust(4, b"\0"))
      continue
    entries.append(struct.pack("<I", at))
    outside.append(value.data + bytes(len(value.data) % 2))
    at += len(outside[-1])
  return b"".join([*entries, bytes(4), *outside])


def write(
  image: "Encodable",
  file: BinaryIO,
  tags: tuple[Directory, Mapping[int, Directory]],
) -> None:
  """A TIFF file in strips, deflated, as differences to the pixel before.

  Args:
    tags: what else to write, and, by tag, nested directories.
  """
  strips = [
    zlib.compress(differences(rows).tobytes(), LEVEL)
    for rows in blocks(
      image.samples.astype(image.samples.dtype.newbyteorder("<"))
    )
  ]
  main, nested = tags
  main = dict(main)
  main |= _layout(image, [len(strip) for strip in strips])
  if image.icc:
    main[34675] = Value(_UNDEFINED, image.icc)
  if image.xmp:
    main[700] = Value(_BYTE, image.xmp)
  if image.extras.iptc:
    main[33723] = Value(_UNDEFINED, image.extras.iptc)
  if image.dpi:
    main[282], main[283] = map(rational, image.dpi)
    main[296] = shorts(2)  # per inch
  # Where strips begin is known once the directories' length is.
  first = _HEADER + len(directories(main, nested))
  starts = np.cumsum([first, *(len(strip) for strip in strips[:-1])])
  main[273] = longs(*starts.tolist())
  file.write(block(main, nested))
  for strip in strips:
    file.write(strip)


def _layout(image: "Encodable", lengths: list[int]) -> dict[int, Value]:
  """What tells how pixels lie; where their strips begin is to be filled in."""
  height, width = image.samples.shape[:2]
  samples = len(image.mode)
  tags = {
    256: longs(width),
    257: longs(height),
    258: shorts(*[8 * image.samples.dtype.itemsize] * samples),
    259: shorts(_DEFLATE),
    262: shorts({"L": 1, "R": 2, "C": 5}[image.mode[0]]),  # the colour space
    273: longs(*[0] * len(lengths)),
    277: shorts(samples),
    278: longs(len(next(blocks(image.samples)))),  # rows a strip
    279: longs(*lengths),
    284: shorts(1),  # the samples of a pixel are together
    317: shorts(_HORIZONTAL),
  }
  if image.mode.endswith("A"):
    tags[338] = shorts(2)  # the last sample is alpha, and not multiplied in
  return tags


def blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
  """Views of some rows each: about `_BLOCK` bytes."""
  rows = max(1, _BLOCK // max(1, samples[0].nbytes))
  for start in range(0, len(samples), rows):
    yield samples[start : start + rows]


def differences(rows: np.ndarray) -> np.ndarray:
  """Every pixel of rows [H, W, ...] less the one before, modulo its range."""
  change = rows.copy()
  change[:, 1:] -= rows[:, :-1]
  return change
