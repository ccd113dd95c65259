"""Write PNG files, compressed on several cores.

Pillow writes no 16-bit colors, and takes a second on a core for 12 megapixels.
"""

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from hdnet_jax.cpus import count_cpus
from hdnet_jax.images import exif, png

if TYPE_CHECKING:
  from hdnet_jax.images.writing import Encodable

_COLORS = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}  # PNG's numbers of modes
_BLOCK = 2**20  # bytes filtered and compressed at a time
_MAX_THREADS = 8
_ADLER = 65521  # the modulus of zlib's checksum


def write(image: "Encodable", file: BinaryIO) -> None:
  """Write an image of 8 or 16 bits; equal images make equal bytes."""

  def chunk(name: bytes, data: bytes) -> None:
    check = zlib.crc32(data, zlib.crc32(name))
    file.write(struct.pack(">I", len(data)) + name + data)
    file.write(struct.pack(">I", check))

  samples, metadata = image.samples, image.metadata
  height, width = samples.shape[:2]
  depth, color = 8 * samples.dtype.itemsize, _COLORS[image.mode]
  file.write(png.START)
  chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
  if metadata.icc:
    chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc))
  for name, body in metadata.chunks:
    if not (name == b"sRGB" and metadata.icc):  # they exclude each other
      chunk(name, body)
  if metadata.dpi:
    meter = [round(value / 0.0254) for value in metadata.dpi]
    chunk(b"pHYs", struct.pack(">IIB", *meter, 1))
  if metadata.exif:
    chunk(b"eXIf", metadata.exif.removeprefix(exif.PREFIX))
  if metadata.xmp:
    chunk(b"iTXt", png.XMP + bytes(5) + metadata.xmp)
  for part in _compressed(samples):
    chunk(b"IDAT", part)
  chunk(b"IEND", b"")


def _compressed(samples: np.ndarray) -> Iterator[bytes]:
  """Yield the parts of a zlib stream of samples, uint8 or uint16 [H, W, ...].

  Blocks of rows are filtered and compressed separately, in threads. Each ends
  on a whole byte, so that they can be joined to one stream.
  """
  big_endian = samples.astype(samples.dtype.newbyteorder(">"), copy=False)
  rows = np.ascontiguousarray(big_endian).view(np.uint8)
  rows = rows.reshape(len(samples), -1)
  distance = rows.shape[1] // samples.shape[1]  # bytes of a pixel
  step = max(1, _BLOCK // rows.shape[1])

  def compress(start: int) -> tuple[bytes, int, int]:
    block = rows[start : start + step]
    above = np.zeros_like(block)
    above[1:] = block[:-1]
    if start:
      above[0] = rows[start - 1]
    data = _filter(block, above, distance).tobytes()
    # Only runs are compressed: on photos that takes a fourth of the time of a
    # search for matches, and sizes are within 5 %.
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    is_last = start + step >= len(rows)
    end = zlib.Z_FINISH if is_last else zlib.Z_FULL_FLUSH
    deflated = compressor.compress(data) + compressor.flush(end)
    return deflated, zlib.adler32(data), len(data)

  head, checksum = b"\x78\x01", zlib.adler32(b"")
  with ThreadPoolExecutor(min(count_cpus(), _MAX_THREADS)) as pool:
    for deflated, own, length in pool.map(compress, range(0, len(rows), step)):
      checksum = _join(checksum, own, length)
      yield head + deflated
      head = b""
  yield struct.pack(">I", checksum)


def _filter(rows: np.ndarray, above: np.ndarray, distance: int) -> np.ndarray:
  """Return rows as differences, each behind the number of its filter.

  Each row takes that filter of Sub, Up and Average which has the least sum of
  absolute differences, as the PNG specification advises. Paeth takes as long as
  these together, and gains nothing beside them.

  Args:
    rows, above: uint8 [h, bytes], and the row over each.
    distance: to the same byte of the pixel before.
  """
  left = np.zeros_like(rows)
  left[:, distance:] = rows[:, :-distance]
  # Half of the sum, without overflow: shared bits, and half of the others.
  average = (left & above) + ((left ^ above) >> 1)
  differences = np.stack([rows - left, rows - above, rows - average])
  sizes = np.minimum(differences, 0 - differences)
  best = sizes.sum(axis=2, dtype=np.uint32).argmin(axis=0)
  result = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
  result[:, 0] = 1 + best
  result[:, 1:] = differences[best, np.arange(len(rows))]
  return result


def _join(first: int, second: int, length: int) -> int:
  """Return the Adler-32 of two parts, the second of `length` bytes."""
  low, high = first & 0xFFFF, first >> 16
  low, high = (
    low + (second & 0xFFFF) - 1,
    high + (second >> 16) + length * (low - 1),
  )
  return high % _ADLER << 16 | low % _ADLER
