"""metrics.jsonl, and event files as TensorBoard's own writer makes them."""

import io
import json
import time

import numpy as np
from PIL import Image

from hdnet_jax.training.writer import EventFile, MetricWriter


def records(data: bytes) -> list[bytes]:
  """The records of an event file, without lengths and checksums."""
  found = []
  while data:
    length = int.from_bytes(data[:8], "little")
    found.append(data[12 : 12 + length])
    data = data[length + 16 :]
  return found


def fields(data: bytes) -> dict[int, object]:
  """The fields of a protocol buffer, by number; none is there twice."""
  found, stream = {}, io.BytesIO(data)

  def varint() -> int:
    (byte,) = stream.read(1)
    return byte if byte < 0x80 else byte - 0x80 + 0x80 * varint()

  while stream.tell() < len(data):
    number, kind = divmod(varint(), 8)
    if kind == 0:
      found[number] = varint()
    else:
      length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
      found[number] = stream.read(length)
  return found


def test_an_event_is_what_protobuf_makes_of_it(tmp_path, monkeypatch):
  monkeypatch.setattr(time, "time", lambda: 1700000000.5)
  with EventFile(tmp_path, 301) as file:
    file.scalar(300, "train/loss", 0.125)
  (path,) = tmp_path.glob("events.out.tfevents.*")
  data = path.read_bytes()
  first, start, scalar = records(data)
  # Checksums of the length and of the bytes.
  assert data[8:12].hex() == "a37f4b22"
  assert data[36:40].hex() == "2b353110"
  # SerializeToString of tensorboardX 2.6.4's Event.
  assert first.hex() == ("0900002040fc54d9411a0d627261696e2e4576656e743a32")
  assert start.hex() == "0900002040fc54d94110ad023a020801"
  assert scalar.hex() == (
    "0900002040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000003e"
  )


def test_pictures_are_png(tmp_path):
  image = np.arange(5 * 300 * 3, dtype=np.uint32).reshape(5, 300, 3)
  image = (image % 251).astype(np.uint8)
  with EventFile(tmp_path, 1) as file:
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


def test_a_continued_run_drops_what_lies_after_its_step(tmp_path, capsys):
  path = tmp_path / "metrics.jsonl"
  rows = [json.dumps({"step": step}) for step in (1, 2, 3)]
  path.write_text("\n".join([*rows, '{"step": 2, "ti']))  # cut by a crash
  with MetricWriter(tmp_path, 2, 5) as writer:
    writer.scalars(3, {"loss": 0.5}, "train")
    writer.note(3, "loss [0.5]")
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  assert [line["step"] for line in lines] == [1, 2, 3]
  assert lines[-1]["train/loss"] == 0.5
  assert capsys.readouterr().err == "step 3/5  loss [0.5]\n"
