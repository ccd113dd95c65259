"""What a run tells: a progress bar, metrics.jsonl, TensorBoard events."""

import json
import pathlib
import sys
import time
from typing import Any

import numpy as np

from hdnet_jax.atomic_write import write_text
from hdnet_jax.terminal import ProgressBar, make_console
from hdnet_jax.training.events import EventFile


class SilentLog:
  """The log of a process that is not the main one: says and writes nothing."""

  def __enter__(self) -> "SilentLog":
    return self

  def __exit__(self, *_: Any) -> None:
    pass

  def step(self, step: int) -> None:
    pass

  def scalars(self, step: int, values: dict[str, float], prefix: str) -> None:
    pass

  def note(self, step: int, text: str) -> None:
    pass

  def evaluating(self, done: int, total: int) -> None:
    pass

  def say(self, text: str) -> None:
    pass

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    pass


class RunLog:
  """Writes a run's numbers to its workdir and to the terminal.

  Use as a context manager. A run that continues from `first_step` takes over
  the files of the one before it, without what lies after that step.
  """

  def __init__(self, workdir: pathlib.Path, first_step: int, total_steps: int):
    self._path = workdir / "metrics.jsonl"
    self._keep_until(first_step)
    self._events = EventFile(workdir, first_step + 1)
    self._is_terminal = make_console(stderr=True).is_terminal
    self._bar = ProgressBar(
      "training", total_steps, first_step, hidden=not self._is_terminal
    )
    self._total = total_steps

  def __enter__(self) -> "RunLog":
    self._file = self._path.open("a", encoding="utf-8")
    self._bar.__enter__()
    return self

  def __exit__(self, *_: Any) -> None:
    self._bar.__exit__()
    self._events.close()
    self._file.close()

  def step(self, step: int) -> None:
    """Moves the bar; costs nothing."""
    self._bar.update(step)

  def scalars(self, step: int, values: dict[str, float], prefix: str) -> None:
    """Records `prefix/name` -> number, at `step`."""
    row = {"step": step, "time": round(time.time(), 3)}
    row |= {f"{prefix}/{name}": value for name, value in values.items()}
    self._file.write(json.dumps(row) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._events.scalar(step, f"{prefix}/{name}", value)

  def note(self, step: int, text: str) -> None:
    """Shows `text` beside the bar, or as a line where there is no bar."""
    if self._is_terminal:
      self._bar.note(text)
    else:
      print(f"step {step}/{self._total}  {text}", file=sys.stderr, flush=True)

  def evaluating(self, done: int, total: int) -> None:
    """Shows the progress of an evaluation beside the bar."""
    self._bar.note(f"evaluating {done}/{total}")

  def say(self, text: str) -> None:
    """A line above the bar."""
    self._bar.print(text)

  def picture(self, step: int, name: str, image: np.ndarray) -> None:
    """Shows a uint8 RGB image [H, W, 3] in TensorBoard."""
    self._events.picture(step, name, image)

  def _keep_until(self, last_step: int) -> None:
    if not self._path.exists():
      return
    lines = self._path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _step_of(line) <= last_step]
    if len(kept) < len(lines):
      write_text(self._path, "".join(line + "\n" for line in kept))


def _step_of(line: str) -> float:
  """The step of a line; infinite for one that a crash cut short."""
  try:
    return json.loads(line)["step"]
  except json.JSONDecodeError:
    return float("inf")
