"""TensorBoard's event files: scalars and pictures.

A file is records of protocol buffers, of which these are the few fields used
(tensorboard/compat/proto: event.proto, summary.proto). Written here because the
libraries that do it bring along TensorFlow or PyTorch, and write from a thread
whose errors nobody hears of.
"""

import io
import pathlib
import socket
import struct
import time
from typing import Any

import numpy as np
from PIL import Image

_CASTAGNOLI = 0x82F63B78


def _table() -> tuple[int, ...]:
  rows = []
  for value in range(256):
    for _ in range(8):
      value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
    rows.append(value)
  return tuple(rows)


_TABLE = _table()


class EventFile:
  """A new event file in `folder`; what is added is in it at once.

  TensorBoard forgets what older files of the folder have from `first_step` on.
  """

  def __init__(self, folder: pathlib.Path, first_step: int):
    now = time.time()
    name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}"
    self._file = (folder / name).open("wb")
    self._add(_text(3, "brain.Event:2"))
    # SessionLog: START.
    self._add(_number(2, first_step), _bytes(7, _number(1, 1)))

  def scalar(self, step: int, tag: str, value: float) -> None:
    simple = _key(2, 5) + struct.pack("<f", value)
    self._add_value(step, _text(1, tag) + simple)

  def picture(self, step: int, tag: str, image: np.ndarray) -> None:
    """Adds a uint8 RGB image [H, W, 3]."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "png")
    height, width, channels = image.shape
    fields = _number(1, height) + _number(2, width) + _number(3, channels)
    fields += _bytes(4, png.getvalue())
    self._add_value(step, _text(1, tag) + _bytes(4, fields))

  def close(self) -> None:
    self._file.close()

  def __enter__(self) -> "EventFile":
    return self

  def __exit__(self, *_: Any) -> None:
    self.close()

  def _add_value(self, step: int, value: bytes) -> None:
    self._add(_number(2, step), _bytes(5, _bytes(1, value)))

  def _add(self, *fields: bytes) -> None:
    """An event, as a record: length, its checksum, bytes, their checksum."""
    event = _key(1, 1) + struct.pack("<d", time.time()) + b"".join(fields)
    length = struct.pack("<Q", len(event))
    self._file.write(length + _checksum(length) + event + _checksum(event))
    self._file.flush()


def _checksum(data: bytes) -> bytes:
  """CRC-32C, masked as in TFRecord files."""
  table, crc = _TABLE, 0xFFFFFFFF
  for byte in data:
    crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
  crc ^= 0xFFFFFFFF
  masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
  return struct.pack("<I", masked)


def _key(field: int, kind: int) -> bytes:
  return _varint(field << 3 | kind)


def _number(field: int, value: int) -> bytes:
  return _key(field, 0) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
  return _key(field, 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
  return _bytes(field, value.encode())


def _varint(value: int) -> bytes:
  groups = []
  while value > 0x7F:
    groups.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*groups, value])
