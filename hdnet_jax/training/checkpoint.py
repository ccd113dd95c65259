"""Checkpoints: the one file that knows Orbax.

A checkpoint holds the state and the random key; its step is the place in the
data, whose stream is random access. So a run continued from it is the run that
was never interrupted, also on other devices or processes. It is written in the
background, under a temporary name until it is whole and sealed.

With several processes all of them make the same calls. The first one alone
reads and writes: it decides what is there, and the others get it from there.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from hdnet_jax.atomic_write import check_room, patiently
from hdnet_jax.distributed import agree, is_main, of_main
from hdnet_jax.errors import UserError
from hdnet_jax.training import checkpoint_folder as folder
from hdnet_jax.training.seal import Damaged, check
from hdnet_jax.training.state import TrainState, blank, placed, stored

_OVERHEAD = 2**18  # bytes of a checkpoint besides its arrays
_STRUCTURE = pathlib.Path("state", "_METADATA")


class Checkpoints:
  """The checkpoints of one workdir, by step.

  Use as a context manager: saves may be pending. With `read_only` nothing is
  touched, so that a run can be looked at while it trains.
  """

  def __init__(
    self, workdir: pathlib.Path, keep: int = 1, read_only: bool = False
  ):
    self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
    self._keep, self._read_only = keep, read_only
    self._orbax = _checkpointer()
    self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
    self._saving: concurrent.futures.Future | None = None
    of_main(self._open)

  def _open(self) -> None:
    if self._read_only:
      if not self.directory.is_dir():
        raise UserError(f"{self.directory} does not exist; train longer")
      return
    folder.clear(self.directory)

  def steps(self) -> list[int]:
    return of_main(lambda: folder.steps(self.directory))

  def path(self, step: int) -> pathlib.Path:
    return self.directory / str(step)

  def best(self) -> int | None:
    """The step whose validation was best; None before the first."""
    return of_main(lambda: patiently(lambda: folder.best(self.directory)))

  def save(
    self, state: TrainState, metrics: dict[str, float] | None = None
  ) -> None:
    """Starts writing the checkpoint of `state.step`; once is enough.

    Raises what went wrong with the one before it.
    """
    self.wait()
    values = stored(state)
    step = int(state.step)
    if not is_main() or self.path(step).exists():
      return
    # Copies: the next step gives the state's memory away.
    values = jax.tree.map(np.array, values)
    self._saving = self._writer.submit(
      self._write, step, values, metrics or folder.UNMEASURED
    )

  def _write(
    self, step: int, values: dict[str, Any], metrics: dict[str, float]
  ) -> None:
    """In the writer's thread: what is under its own name is whole."""
    temporary = self.directory / f"{step}{folder.WRITING}"
    # Before Orbax begins, whose many tasks all cry out where one fails.
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(values))
    check_room(self.directory, size + _OVERHEAD)
    with _telling_the_system(temporary):
      self._orbax.save(
        temporary,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(values),
          metrics=ocp.args.JsonSave(metrics),
        ),
        force=True,
      )
    folder.put(temporary, step, self._keep)

  def restore_latest(self, like: TrainState) -> TrainState | None:
    """The newest state that is whole; damaged ones are set aside.

    Args:
      like: a state, or its shapes, with the shardings to restore to.

    Returns:
      None where there is no checkpoint at all.

    Raises:
      UserError: where there are checkpoints and all are damaged, or the newest
        whole one cannot be read at present.
    """
    values = blank(like)

    def read() -> int | None:
      nonlocal values
      step, values, damaged = patiently(lambda: self._newest(values))
      if damaged and step is None:
        newest = max(damaged)
        raise UserError(
          f"no checkpoint in {self.directory} can be read ({newest}: "
          f"{damaged[newest]}); restore one from a copy, or start anew in "
          "another --workdir"
        )
      folder.set_aside(self.directory, damaged)
      return step

    step = of_main(read)
    return None if step is None else placed(agree(values), like)

  def _newest(self, like: dict) -> tuple[int | None, dict, dict[int, str]]:
    """The newest whole step, its values, and what is damaged, of all."""
    found, values, damaged = None, like, {}
    for step in reversed(folder.steps(self.directory)):
      try:
        if found is None:
          values = self._read(step, like)
          found = step
        else:
          check(self.path(step))
      except Damaged as error:
        damaged[step] = str(error)
    return found, values, damaged

  def restore(self, step: int, like: TrainState) -> TrainState:
    """The state at `step`, or a UserError where it cannot be read."""
    values = blank(like)

    def read() -> None:
      nonlocal values
      try:
        values = patiently(lambda: self._read(step, values))
      except Damaged as error:
        raise UserError(
          f"{self.path(step)} cannot be read ({error}); evaluate another step: "
          f"{folder.steps(self.directory)}"
        ) from error

    of_main(read)
    return placed(agree(values), like)

  def _read(self, step: int, like: dict) -> dict:
    """The values of a step.

    Raises:
      Damaged: where its files are known to be.
      OSError: where they cannot be read at present.
    """
    path = self.path(step)
    sealed = check(path)
    if not sealed:  # an earlier version's, killed before it had sealed it
      folder.quality(path)
      if not (path / _STRUCTURE).is_file():
        raise Damaged(f"its {_STRUCTURE} is missing")
    try:
      with _telling_the_system(path):
        restored = self._orbax.restore(
          path, args=ocp.args.Composite(state=ocp.args.StandardRestore(like))
        )
    except Exception as error:
      if sealed or not _tells_of_damage(error):
        raise
      raise Damaged(_one_line(error)) from error
    return restored["state"]

  def wait(self) -> None:
    """Returns when what was saved is on disk; every process must call this.

    Raises what went wrong.
    """
    of_main(self._finish)

  def notice(self) -> None:
    """Raises what went wrong with a save that has ended; waits for nothing."""
    if self._saving is not None and self._saving.done():
      self._finish()

  def _finish(self) -> None:
    saving, self._saving = self._saving, None
    if saving is not None:
      saving.result()

  def close(self) -> None:
    try:
      self.wait()
    finally:
      self._writer.shutdown()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
    if error is None:
      self.close()
      return
    # Others may not come here: this process finishes what is its own.
    try:
      self._finish()
    except Exception as failure:
      error.add_note(f"and the last save failed: {_one_line(failure)}")
    finally:
      self._writer.shutdown()


def _checkpointer() -> ocp.Checkpointer:
  """Orbax for one process: it waits for no other."""
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f"process_{jax.process_index()}",
  )
  handler = ocp.CompositeCheckpointHandler(
    composite_options=ocp.CompositeOptions(multiprocessing_options=alone),
    state=ocp.StandardCheckpointHandler(multiprocessing_options=alone),
    metrics=ocp.JsonCheckpointHandler(
      folder.METRICS.name, multiprocessing_options=alone
    ),
  )
  return ocp.Checkpointer(handler, multiprocessing_options=alone)


@contextlib.contextmanager
def _telling_the_system(path: pathlib.Path) -> Iterator[None]:
  """What TensorStore says of the file system, as the OSError that it was."""
  try:
    yield
  except ValueError as error:
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number is None:
      raise
    code = int(number[1])
    raise OSError(code, os.strerror(code), str(path)) from error


def _tells_of_damage(error: Exception) -> bool:
  """Whether Orbax found a file missing or cut off, and not something else."""
  status = ("DATA_LOSS", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION")
  return isinstance(error, FileNotFoundError | json.JSONDecodeError) or (
    isinstance(error, ValueError) and any(word in str(error) for word in status)
  )


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text[:200]}"
