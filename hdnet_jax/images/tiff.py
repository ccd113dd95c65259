"""Write TIFF files and EXIF blocks: directories of tags with values.

`tifffile` writes no directory inside another, as EXIF and GPS data are.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
  from hdnet_jax.images.writing import Encodable

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
# Bytes of an item of each kind, and of the numbers that it is made of.
_ITEMS = {
  1: 1,
  2: 1,
  3: 2,
  4: 4,
  5: 8,
  6: 1,
  7: 1,
  8: 2,
  9: 4,
  10: 8,
  11: 4,
  12: 8,
  13: 4,
}
_NUMBERS = {**_ITEMS, 5: 4, 10: 4}
_HEADER = 8  # bytes before the first directory
_BLOCK = 2**20  # bytes compressed at a time
LEVEL = 2  # zlib's; higher ones take twice the time and gain nothing on photos
_DEFLATE, _HORIZONTAL = 8, 2  # TIFF's numbers of a compression and a predictor


class Value(NamedTuple):
  """A tag's value: the number of its type in TIFF, and little-endian bytes."""

  kind: int
  data: bytes


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
  """Return an entry's value; None if it is unknown or outside of the data.

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
    value = np.frombuffer(value, f">u{_NUMBERS[kind]}").byteswap().tobytes()
  return Value(kind, value)


def block(main: Directory, nested: Mapping[int, Directory]) -> bytes:
  """Return a header, a directory, and those that it points to by tag.

  EXIF data are such a block, behind their prefix.
  """
  tags = {**main, **{tag: longs(0) for tag in nested}}
  at = _HEADER + len(_directory(tags, 0))
  parts = []
  for tag, directory in nested.items():
    tags[tag] = longs(at)
    parts.append(_directory(directory, at))
    at += len(parts[-1])
  header = struct.pack("<2sHI", b"II", 42, _HEADER)
  return b"".join([header, _directory(tags, _HEADER), *parts])


def _directory(directory: Directory, start: int) -> bytes:
  at = start + 2 + 12 * len(directory) + 4
  entries, outside = [struct.pack("<H", len(directory))], []
  for tag, (kind, data) in sorted(directory.items()):
    entries.append(struct.pack("<HHI", tag, kind, len(data) // _ITEMS[kind]))
    if len(data) <= 4:
      entries.append(data.ljust(4, b"\0"))
      continue
    entries.append(struct.pack("<I", at))
    outside.append(data + bytes(len(data) % 2))
    at += len(outside[-1])
  return b"".join([*entries, bytes(4), *outside])


def write(
  image: "Encodable",
  file: BinaryIO,
  main: Directory,
  nested: Mapping[int, Directory],
) -> None:
  """Write a TIFF file in strips, deflated, as differences to the pixel before.

  Args:
    main, nested: other tags, and directories by tag.
  """
  little_endian = image.samples.astype(image.samples.dtype.newbyteorder("<"))
  strips = [
    zlib.compress(differences(rows).tobytes(), LEVEL)
    for rows in row_blocks(little_endian)
  ]
  main = {**main, **_layout(image, [len(strip) for strip in strips])}
  metadata = image.metadata
  if metadata.icc:
    main[34675] = Value(_UNDEFINED, metadata.icc)
  if metadata.xmp:
    main[700] = Value(_BYTE, metadata.xmp)
  if metadata.iptc:
    main[33723] = Value(_UNDEFINED, metadata.iptc)
  if metadata.dpi:
    main[282], main[283] = map(rational, metadata.dpi)
    main[296] = shorts(2)  # per inch
  # Where strips begin is known once the directories' length is.
  first = len(block(main, nested))
  starts = np.cumsum([first, *(len(strip) for strip in strips[:-1])])
  main[273] = longs(*starts.tolist())
  file.write(block(main, nested))
  file.writelines(strips)


def _layout(image: "Encodable", lengths: list[int]) -> dict[int, Value]:
  """Return the tags of how pixels are stored; offsets of strips are 0."""
  height, width = image.samples.shape[:2]
  samples = len(image.mode)
  tags = {
    256: longs(width),
    257: longs(height),
    258: shorts(*[8 * image.samples.dtype.itemsize] * samples),
    259: shorts(_DEFLATE),
    262: shorts({"L": 1, "R": 2, "C": 5}[image.mode[0]]),  # the color space
    273: longs(*[0] * len(lengths)),
    277: shorts(samples),
    278: longs(len(next(row_blocks(image.samples)))),  # rows a strip
    279: longs(*lengths),
    284: shorts(1),  # the samples of a pixel are together
    317: shorts(_HORIZONTAL),
  }
  if image.mode.endswith("A"):
    tags[338] = shorts(2)  # the last sample is alpha, and not multiplied in
  return tags


def row_blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
  """Yield views of consecutive rows, of about `_BLOCK` bytes."""
  rows = max(1, _BLOCK // max(1, samples[0].nbytes))
  for start in range(0, len(samples), rows):
    yield samples[start : start + rows]


def differences(rows: np.ndarray) -> np.ndarray:
  """Return every pixel of rows [H, W, ...] less the one before, modulo."""
  change = rows.copy()
  change[:, 1:] -= rows[:, :-1]
  return change
