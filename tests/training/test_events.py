"""Event files, byte by byte as TensorBoard's own writer makes them."""

import io
import struct

import numpy as np
from PIL import Image

from hdnet_jax.training import events


def records(data: bytes) -> list[bytes]:
  found, place = [], 0
  while place < len(data):
    length = int.from_bytes(data[place : place + 8], "little")
    head, body = data[place : place + 8], data[place + 12 :][:length]
    sums = data[place + 8 : place + 12], data[place + 12 + length :][:4]
    assert sums == (events._checksum(head), events._checksum(body))
    found.append(body)
    place += length + 16
  return found


def fields(data: bytes) -> dict[int, object]:
  """The fields of a protocol buffer, by number; none is there twice."""
  found, place = {}, 0

  def varint():
    nonlocal place
    value, shift = 0, 0
    while True:
      byte = data[place]
      place += 1
      value |= (byte & 0x7F) << shift
      shift += 7
      if byte < 0x80:
        return value

  while place < len(data):
    key = varint()
    number, kind = key >> 3, key & 7
    if kind == 0:
      found[number] = varint()
    else:
      length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
      found[number] = data[place : place + length]
      place += length
  return found


def test_checksums_are_those_of_record_files():
  # CRC-32C of "123456789" is 0xE3069283, the standard's check value.
  masked = ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
  assert events._checksum(b"123456789") == struct.pack("<I", masked)


def test_an_event_is_what_protobuf_makes_of_it(tmp_path, monkeypatch):
  monkeypatch.setattr(events.time, "time", lambda: 1700000000.5)
  with events.EventFile(tmp_path, 301) as file:
    file.scalar(300, "train/loss", 0.125)
  (path,) = tmp_path.glob("events.out.tfevents.*")
  first, start, scalar = records(path.read_bytes())
  # SerializeToString of tensorboardX 2.6.4's Event.
  assert first.hex() == ("0900002040fc54d9411a0d627261696e2e4576656e743a32")
  assert start.hex() == "0900002040fc54d94110ad023a020801"
  assert scalar.hex() == (
    "0900002040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000003e"
  )


def test_pictures_are_png(tmp_path):
  image = np.arange(5 * 300 * 3, dtype=np.uint32).reshape(5, 300, 3)
  image = (image % 251).astype(np.uint8)
  with events.EventFile(tmp_path, 1) as file:
    file.picture(7, "validation", image)
  (path,) = tmp_path.glob("events.out.tfevents.*")
  event = fields(records(path.read_bytes())[2])
  assert event[2] == 7
  value = fields(fields(event[5])[1])
  assert value[1] == b"validation"
  picture = fields(value[4])
  assert [picture[number] for number in (1, 2, 3)] == [5, 300, 3]
  with Image.open(io.BytesIO(picture[4])) as png:
    np.testing.assert_array_equal(np.asarray(png), image)


def test_a_run_has_scalars_and_pictures(finished):
  (path,) = finished.glob("events.out.tfevents.*")
  found = [fields(record) for record in records(path.read_bytes())]
  values = [(e[2], fields(fields(e[5])[1])) for e in found if 5 in e]
  kinds = {(step, value[1], 4 in value) for step, value in values}
  assert (2, b"train/loss", False) in kinds
  assert (7, b"validation/psnr", False) in kinds
  assert (7, b"validation", True) in kinds
