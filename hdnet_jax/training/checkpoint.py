"""Write, verify and restore a run's checkpoints. Only this module uses Orbax.

A checkpoint holds the state and the random key. Its step is the place in the
data, so a continued run equals one that never stopped, also on other devices
or processes. It is written in the background under a temporary name, with the
digests of its files, and renamed when it is whole.

With several processes all of them make the same calls. Process 0 alone reads
and writes, and the others get its answers.
"""

import concurrent.futures
import contextlib
import json
import logging
import math
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Generator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from hdnet_jax.atomic_write import check_room, flush, patiently
from hdnet_jax.distributed import broadcast, is_main, run_on_main
from hdnet_jax.errors import UserError
from hdnet_jax.training import digests
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.digests import Damaged
from hdnet_jax.training.state import TrainState, placed, stored

log = logging.getLogger(__name__)

BEST_METRIC = "psnr"  # of harmonized validation images; more is better
_METRICS = pathlib.Path("metrics", "metrics")
_STRUCTURE = pathlib.Path("state", "_METADATA")
_WRITING, _REMOVED = ".writing", ".removed"  # suffixes of a step's folder
_ORBAX_WRITING = ".orbax-checkpoint-tmp"
_OVERHEAD = 2**18  # bytes of a checkpoint besides its arrays


class Checkpoints:
  """The checkpoints of a workdir, by step. Use as a context manager.

  Args:
    keep: how many of the newest steps stay, besides the best one.
    read_only: change nothing, since the run may still be training.
  """

  def __init__(
    self, workdir: pathlib.Path, keep: int = 1, read_only: bool = False
  ):
    self._workdir = pathlib.Path(workdir).absolute()
    self.directory = self._workdir / "checkpoints"
    self._keep = keep
    self._orbax = _checkpointer()
    self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self._saving: concurrent.futures.Future | None = None
    run_on_main(self._check if read_only else self._clear)

  def _check(self) -> None:
    if not self.directory.is_dir():
      raise UserError(f"{self.directory} does not exist; train longer")

  def _clear(self) -> None:
    """Create the folder, and remove what a killed run left half-done."""
    self.directory.mkdir(parents=True, exist_ok=True)
    for ending in (_WRITING, _REMOVED, _ORBAX_WRITING):
      for path in self.directory.glob(f"[0-9]*{ending}*"):
        shutil.rmtree(path)

  def steps(self) -> list[int]:
    return run_on_main(self._steps)

  def _steps(self) -> list[int]:
    return workdirs.checkpoint_steps(self._workdir)

  def path(self, step: int) -> pathlib.Path:
    return self.directory / str(step)

  def best(self) -> int | None:
    """Return the step whose validation was best; None before the first."""
    return run_on_main(lambda: patiently(self._best))

  def _best(self) -> int | None:
    found = []
    for step in self._steps():
      try:
        found.append((_validation_metric(self.path(step)), step))
      except Damaged as error:
        log.warning("%s is not counted (%s)", self.path(step), error)
    metric, step = max(found, default=(-math.inf, 0))  # of equal ones the last
    return step if metric > -math.inf else None

  def save(
    self, state: TrainState, metrics: dict[str, float] | None = None
  ) -> None:
    """Start writing the checkpoint of `state.step`, unless it is there."""
    self.wait()  # raises what went wrong with the save before it
    step, values = int(state.step), stored(state)
    if not is_main() or self.path(step).exists():
      return
    # Copies, because the next step donates the state's memory.
    values = jax.tree.map(np.array, values)
    metrics = metrics or {BEST_METRIC: -math.inf}
    self._saving = self._writer.submit(self._write, step, values, metrics)

  def _write(
    self, step: int, values: dict[str, Any], metrics: dict[str, float]
  ) -> None:
    """Write under a temporary name, rename, and remove older steps."""
    temporary = self.directory / f"{step}{_WRITING}"
    # Before Orbax starts its many tasks, each of which would log the error.
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(values))
    check_room(self.directory, size + _OVERHEAD)
    with _as_os_error(temporary):
      self._orbax.save(
        temporary,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(values),
          metrics=ocp.args.JsonSave(metrics),
        ),
        force=True,
      )
    digests.write(temporary)
    temporary.rename(self.path(step))
    flush(self.directory)  # before older steps go
    steps = self._steps()
    for old in set(steps) - {*steps[-self._keep :], self._best()}:
      removed = self.directory / f"{old}{_REMOVED}"
      self.path(old).rename(removed)
      shutil.rmtree(removed)

  def restore_latest(self, like: TrainState) -> TrainState | None:
    """Restore the newest whole state, or None, and set damaged ones aside.

    Args:
      like: a state, or its shapes, with the shardings to restore to.

    Raises:
      UserError: where all checkpoints are damaged, or the newest whole one
        cannot be read at present.
    """

    def read(zeros: dict) -> tuple[int | None, dict]:
      step, values, damaged = patiently(lambda: self._read_newest(zeros))
      if damaged and step is None:
        newest = max(damaged)
        raise UserError(
          f"no checkpoint in {self.directory} can be read ({newest}: "
          f"{damaged[newest]}); restore one from a copy, or start anew in "
          "another --workdir"
        )
      self._set_aside(damaged)
      return step, values

    return _broadcast_state(read, like)

  def restore(self, step: int, like: TrainState) -> TrainState:
    """Restore the state at `step`, or raise UserError where it is damaged."""

    def read(zeros: dict) -> tuple[int, dict]:
      try:
        return step, patiently(lambda: self._read(step, zeros))
      except Damaged as error:
        raise UserError(
          f"{self.path(step)} cannot be read ({error}); evaluate another step: "
          f"{self._steps()}"
        ) from error

    state = _broadcast_state(read, like)
    if state is None:
      raise RuntimeError("a step was read, and its number was lost")
    return state

  def _read_newest(self, like: dict) -> tuple[int | None, dict, dict[int, str]]:
    """Return the newest whole step, its values, and all steps' damage."""
    newest, values, damaged = None, like, {}
    for step in reversed(self._steps()):
      try:
        if newest is None:
          values = self._read(step, like)
          newest = step
        else:
          digests.verify(self.path(step))
      except Damaged as error:
        damaged[step] = str(error)
    return newest, values, damaged

  def _read(self, step: int, like: dict) -> dict:
    """Read the values of a step; raise as `digests.verify` does."""
    path = self.path(step)
    verified = digests.verify(path)
    if not verified:  # of an older version, killed before it wrote digests
      _validation_metric(path)
      if not (path / _STRUCTURE).is_file():
        raise Damaged(f"its {_STRUCTURE} is missing")
    try:
      with _as_os_error(path):
        restored = self._orbax.restore(
          path, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
        )
    except Exception as error:
      if verified or not _is_damage(error):
        raise
      raise Damaged(_one_line(error)) from error
    return restored["state"]

  def _set_aside(self, damaged: dict[int, str]) -> None:
    """Move damaged checkpoints away, so that their steps can be saved."""
    folder = self.directory.with_name("broken_checkpoints")
    for step, why in damaged.items():
      folder.mkdir(exist_ok=True)
      place, number = folder / str(step), 0
      while place.exists():
        number += 1
        place = folder / f"{step}.{number}"
      self.path(step).rename(place)
      log.warning(
        "checkpoint %d cannot be read (%s); moved to %s", step, why, place
      )

  def wait(self) -> None:
    """Wait until what was saved is on disk, or raise what went wrong.

    Every process must call this.
    """
    run_on_main(self._finish)

  def notice(self) -> None:
    """Raise the error of a save that failed; do not wait for a running one."""
    if self._saving is not None and self._saving.done():
      self._finish()

  def _finish(self) -> None:
    saving, self._saving = self._saving, None
    if saving is not None:
      saving.result()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
    try:
      if error is None:
        self.wait()
      else:
        self._finish()  # other processes may not come here
    except Exception as failure:
      if error is None:
        raise
      error.add_note(f"and the last save failed: {_one_line(failure)}")
    finally:
      self._writer.shutdown()


def _validation_metric(checkpoint: pathlib.Path) -> float:
  """Read a checkpoint's BEST_METRIC; -inf if it has none."""
  try:
    text = (checkpoint / _METRICS).read_bytes()
    metric = float(json.loads(text)[BEST_METRIC])
  except FileNotFoundError:
    return -math.inf
  except (KeyError, TypeError, ValueError):
    raise Damaged(f"its {_METRICS} is cut off") from None
  return -math.inf if math.isnan(metric) else metric


def _broadcast_state(
  read: Callable[[dict], tuple[int | None, dict]], like: TrainState
) -> TrainState | None:
  """Call `read` in process 0, with zeros like the state; share the result."""
  values = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), stored(like))

  def read_on_main() -> int | None:
    nonlocal values
    step, values = read(values)
    return step

  step = run_on_main(read_on_main)
  return None if step is None else placed(broadcast(values), like)


def _checkpointer() -> ocp.Checkpointer:
  """Return an Orbax checkpointer that waits for no other process."""
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f"process_{jax.process_index()}",
  )
  handler = ocp.CompositeCheckpointHandler(
    composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
    state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
    metrics=ocp.JsonCheckpointHandler(
      _METRICS.name, multiprocessing_options=alone
    ),
  )
  return ocp.Checkpointer(handler, multiprocessing_options=alone)


@contextlib.contextmanager
def _as_os_error(path: pathlib.Path) -> Generator[None]:
  """Raise TensorStore's errors of the file system as OSError."""
  try:
    yield
  except ValueError as error:
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number is None:
      raise
    code = int(number[1])
    raise OSError(code, os.strerror(code), str(path)) from error


def _is_damage(error: Exception) -> bool:
  """Return whether Orbax found a file missing or cut off."""
  status = ("DATA_LOSS", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION")
  return isinstance(error, FileNotFoundError | json.JSONDecodeError) or (
    isinstance(error, ValueError) and any(word in str(error) for word in status)
  )


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text[:200]}"
