"""Checkpoints: the one file that knows Orbax.

A checkpoint holds the state and the random key; its step is the place in the
data, whose stream is random access. So a run continued from it is the run that
was never interrupted, also on other devices or processes. Orbax writes in the
background, under a temporary name until the checkpoint is whole.

With several processes all of them make the same calls, on one file system.
"""

import hashlib
import json
import logging
import math
import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint.checkpoint_managers import preservation_policy

from hdnet_jax.errors import UserError
from hdnet_jax.files import write_text
from hdnet_jax.hosts import is_loss, is_main
from hdnet_jax.training.state import TrainState

log = logging.getLogger(__name__)

BEST_METRIC = "psnr"  # of harmonized validation images; more is better
# Digests of a checkpoint's files.
_SEAL = "sha256.json"
# Of checkpoints between evaluations: Orbax warns about each without metrics.
_UNMEASURED = {BEST_METRIC: -math.inf}
# What Orbax and `check_seal` raise for damaged files.
_UNREADABLE = (ValueError, OSError, KeyError, TypeError)


def _quality(metrics: dict[str, float]) -> float:
  return metrics[BEST_METRIC]


def newest_step(workdir: pathlib.Path) -> int:
  """From which a run in `workdir` continues, or 0; no checkpoint is opened."""
  # While one is written, its name has more than digits.
  names = (path.name for path in (workdir / "checkpoints").glob("*"))
  return max((int(name) for name in names if name.isdecimal()), default=0)


class Checkpoints:
  """The checkpoints of one workdir, by step.

  Use as a context manager: saves may be pending. With `read_only` nothing is
  touched, so that a run can be looked at while it trains.
  """

  def __init__(
    self, workdir: pathlib.Path, keep: int = 1, read_only: bool = False
  ):
    self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
    self._broken = self.directory.with_name("broken_checkpoints")
    self._keep, self._read_only = keep, read_only
    if read_only and not self.directory.is_dir():
      raise UserError(f"{self.directory} does not exist; train longer")
    self._saving: int | None = None  # the step that is being written
    self._manager = self._open()

  def _open(self) -> ocp.CheckpointManager:
    keep = preservation_policy.AnyPreservationPolicy(
      [
        preservation_policy.LatestN(self._keep),
        preservation_policy.BestN(
          get_metric_fn=_quality,
          n=1,
          keep_checkpoints_without_metrics=False,
        ),
      ]
    )
    return ocp.CheckpointManager(
      self.directory,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        # Orbax writes and reads metrics only where this is set.
        best_fn=_quality,
        best_mode="max",
        read_only=self._read_only,
        # What a killed run left half-written.
        cleanup_tmp_directories=not self._read_only,
      ),
      item_names=("state",),
    )

  def steps(self) -> list[int]:
    return sorted(self._manager.all_steps())

  def path(self, step: int) -> pathlib.Path:
    return self.directory / str(step)

  def best(self) -> int | None:
    """The step whose validation was best; None before the first."""
    step = self._manager.best_step()
    if step is None or self._manager.metrics(step) == _UNMEASURED:
      return None
    return step

  def save(
    self, state: TrainState, metrics: dict[str, float] | None = None
  ) -> None:
    """Starts writing the checkpoint of `state.step`; once is enough."""
    step = int(state.step)
    if step in self.steps():
      return
    self.wait()
    self._saving = step
    self._manager.save(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardSave(_storable(state))),
      metrics=metrics or _UNMEASURED,
    )

  def restore_latest(self, like: TrainState) -> TrainState | None:
    """The newest state that can be read.

    Args:
      like: a state, or its shapes, with the shardings to restore to.

    Returns:
      None where there is no checkpoint at all.

    Raises:
      UserError: where there are checkpoints and none can be read.
    """
    failures: dict[int, Exception] = {}
    for step in reversed(self.steps()):
      try:
        state = self._restore(step, like)
      except _UNREADABLE as error:
        failures[step] = error
        continue
      self._set_aside(failures)
      return state
    if failures:
      raise UserError(
        f"no checkpoint in {self.directory} can be read "
        f"({_one_line(failures[max(failures)])}); restore one from a copy, or "
        "start anew in another --workdir"
      )
    return None

  def restore(self, step: int, like: TrainState) -> TrainState:
    """The state at `step`, or a UserError where it cannot be read."""
    try:
      return self._restore(step, like)
    except _UNREADABLE as error:
      raise UserError(
        f"{self.path(step)} cannot be read ({_one_line(error)}); evaluate "
        f"another step: {self.steps()}"
      ) from error

  def _restore(self, step: int, like: TrainState) -> TrainState:
    check_seal(self.path(step))
    restored = self._manager.restore(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardRestore(_storable(like))),
    )
    return _restored(restored["state"])

  def _set_aside(self, failures: dict[int, Exception]) -> None:
    """Moves unreadable checkpoints away, so that their steps can be saved."""
    if not failures:
      return
    self._manager.close()
    if is_main():
      self._move(failures)
    multihost_utils.sync_global_devices("broken checkpoints are set aside")
    self._manager = self._open()

  def _move(self, failures: dict[int, Exception]) -> None:
    for step, error in failures.items():
      self._broken.mkdir(exist_ok=True)
      place = self._broken / str(step)
      number = 0
      while place.exists():
        number += 1
        place = self._broken / f"{step}.{number}"
      self.path(step).rename(place)
      log.warning(
        "checkpoint %d cannot be read (%s); moved to %s, continuing from the "
        "one before it",
        step,
        _one_line(error),
        place,
      )

  def wait(self) -> None:
    """Returns when everything saved is on disk, and sealed."""
    self._manager.wait_until_finished()
    if self._saving is not None and is_main():
      seal(self.path(self._saving))
    self._saving = None

  def close(self) -> None:
    self.wait()
    self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind: Any, error: BaseException | None, *_: Any) -> None:
    # Without a process of the run, what is pending never ends.
    if not is_loss(error):
      self.close()


def seal(checkpoint: pathlib.Path) -> None:
  """Writes down the digest of every file of a whole checkpoint."""
  write_text(checkpoint / _SEAL, json.dumps(_digests(checkpoint)))


def check_seal(checkpoint: pathlib.Path) -> None:
  """Raises OSError where a file is not as it was sealed.

  The newest checkpoint of a killed run may have no seal yet. It passes: Orbax
  had finished writing it, and reports damage too, at length.
  """
  path = checkpoint / _SEAL
  if not path.exists():
    return
  sealed, found = json.loads(path.read_text()), _digests(checkpoint)
  damaged = [name for name in sealed if found.get(name) != sealed[name]]
  if damaged:
    raise OSError(
      f"{len(damaged)} of its {len(sealed)} files are damaged or missing, "
      f"{damaged[0]} among them"
    )


def _digests(checkpoint: pathlib.Path) -> dict[str, str]:
  digests = {}
  for path in sorted(checkpoint.rglob("*")):
    if path.is_file() and path.name != _SEAL:
      with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
      digests[path.relative_to(checkpoint).as_posix()] = digest
  return digests


def _storable(state: TrainState) -> dict[str, Any]:
  """The state as plain arrays: a typed random key by its numbers."""
  if isinstance(state.key, jax.ShapeDtypeStruct):
    key = jax.eval_shape(jax.random.key_data, state.key)
    key = key.update(sharding=state.key.sharding)
  else:
    key = jax.random.key_data(state.key)
  stored = {
    "step": state.step,
    "params": state.params,
    "opt_state": state.opt_state,
    "key": key,
  }
  return stored if state.ema is None else {**stored, "ema": state.ema}


def _restored(stored: dict[str, Any]) -> TrainState:
  return TrainState(
    **{**stored, "key": jax.random.wrap_key_data(stored["key"])}
  )


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text[:200]}"
