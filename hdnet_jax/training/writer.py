"""What a run tells: a progress bar, metrics.jsonl, TensorBoard events."""

import contextlib
import functools
import io
import json
import pathlib
import socket
import struct
import time
from collections.abc import Generator
from typing import Any

import jax
import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import write_text
from hdnet_jax.config import Config
from hdnet_jax.distributed import is_main
from hdnet_jax.terminal import ProgressBar, make_console
from hdnet_jax.training.schedule import make_schedule
from hdnet_jax.training.step import Measures


class MetricWriter:
  """Writes a run's numbers to its workdir and to the terminal.

  Use as a context manager. Only process 0 writes. A run that continues from
  `first_step` continues the files, and drops their later steps.
  """

  def __init__(self, workdir: pathlib.Path, first_step: int, total_steps: int):
    self._workdir, self._first_step = workdir, first_step
    self._total = total_steps
    self._is_terminal = make_console(stderr=True).is_terminal
    self._bar = ProgressBar(
      "training",
      total_steps,
      first_step,
      hidden=not (self._is_terminal and is_main()),
    )

  def __enter__(self) -> "MetricWriter":
    with contextlib.ExitStack() as stack:
      if is_main():
        path = self._workdir / "metrics.jsonl"
        _keep_until(path, self._first_step)
        self._events = stack.enter_context(
          EventFile(self._workdir, self._first_step + 1)
        )
        self._file = stack.enter_context(path.open("a", encoding="utf-8"))
      stack.enter_context(self._bar)
      self._exit = stack.pop_all()
    return self

  def __exit__(self, *error: Any) -> None:
    self._exit.__exit__(*error)

  def step(self, step: int) -> None:
    """Move the bar."""
    self._bar.update(step)

  def scalars(self, step: int, values: dict[str, float], prefix: str) -> None:
    """Record `prefix/name` -> number, at `step`."""
    if not is_main():
      return
    values = {f"{prefix}/{name}": value for name, value in values.items()}
    row = {"step": step, "time": round(time.time(), 3), **values}
    self._file.write(json.dumps(row) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.scalar(step, name, value)

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Show a uint8 RGB image [H, W, 3] in TensorBoard."""
    if is_main():
      self._events.picture(step, name, image)

  def note(self, step: int, text: str) -> None:
    """Show `text` beside the bar, or as a line where there is no bar."""
    if self._is_terminal:
      self._bar.note(text)
    else:
      self.say(f"step {step}/{self._total}  {text}")

  def evaluating(self, done: int, total: int) -> None:
    """Show the progress of an evaluation beside the bar."""
    self._bar.note(f"evaluating {done}/{total}")

  def say(self, text: str) -> None:
    """Print a line above the bar."""
    if is_main():
      self._bar.print(text)


class TrainLog:
  """The losses since the last line of the log, and the time that they took."""

  def __init__(
    self, config: Config, writer: MetricWriter, steps_per_epoch: float
  ):
    self._batch_size, self._writer = config.batch_size, writer
    self._learning_rate = make_schedule(config.optimizer, steps_per_epoch)
    self._losses: list[jax.Array] = []  # on the device
    self._clock = time.perf_counter()

  def add(self, step: int, measures: Measures) -> None:
    self._losses.append(measures["loss"])
    self._writer.step(step)

  def losses(self) -> np.ndarray:
    """Wait for the losses, and return them as float64 [steps]."""
    return np.array(jax.device_get(self._losses), np.float64)

  def write(self, step: int, losses: np.ndarray, measures: Measures) -> None:
    seconds = time.perf_counter() - self._clock
    values = {
      "loss": float(losses.mean()),
      "gradient_norm": float(measures["gradient_norm"]),
      "learning_rate": float(np.asarray(self._learning_rate(step - 1))),
      "images_per_second": len(losses) * self._batch_size / seconds,
    }
    self._writer.scalars(step, values, "train")
    self._writer.note(
      step,
      f"loss {values['loss']:.4f}  {values['images_per_second']:.1f} images/s",
    )
    self._losses, self._clock = [], time.perf_counter()

  @contextlib.contextmanager
  def paused(self) -> Generator[None]:
    """Exclude the block's time from the images per second."""
    start = time.perf_counter()
    yield
    self._clock += time.perf_counter() - start


def _keep_until(path: pathlib.Path, last_step: int) -> None:
  """Drop the lines after `last_step`, and a line that a crash cut short."""
  if not path.exists():
    return
  lines = path.read_text(encoding="utf-8").splitlines()
  kept = []
  for line in lines:
    with contextlib.suppress(json.JSONDecodeError):
      if json.loads(line)["step"] <= last_step:
        kept.append(line)
  if len(kept) < len(lines):
    write_text(path, "".join(line + "\n" for line in kept))


class EventFile:
  """A new TensorBoard event file in `folder`, flushed at every record.

  A file is a sequence of protocol buffers (tensorboard/compat/proto:
  event.proto, summary.proto); only the few fields needed are written here.
  Existing libraries need TensorFlow or PyTorch, or hide errors in a thread.
  TensorBoard drops what older files of the folder hold from `first_step` on.
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
    """Add a uint8 RGB image [H, W, 3]."""
    png = io.BytesIO()
    Image.fromarray(image).save(png, "png")
    height, width, channels = image.shape
    fields = _number(1, height) + _number(2, width) + _number(3, channels)
    fields += _bytes(4, png.getvalue())
    self._add_value(step, _text(1, tag) + _bytes(4, fields))

  def __enter__(self) -> "EventFile":
    return self

  def __exit__(self, *_: Any) -> None:
    self._file.close()

  def _add_value(self, step: int, value: bytes) -> None:
    self._add(_number(2, step), _bytes(5, _bytes(1, value)))

  def _add(self, *fields: bytes) -> None:
    """Write an event as length, checksum, bytes, checksum."""
    event = _key(1, 1) + struct.pack("<d", time.time()) + b"".join(fields)
    length = struct.pack("<Q", len(event))
    self._file.write(length + _checksum(length) + event + _checksum(event))
    self._file.flush()


@functools.cache
def _crc_table() -> tuple[int, ...]:
  rows = []
  for value in range(256):
    for _ in range(8):
      value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    rows.append(value)
  return tuple(rows)


def _checksum(data: bytes) -> bytes:
  """Return the CRC-32C, masked as in TFRecord files."""
  table, crc = _crc_table(), 0xFFFFFFFF
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
