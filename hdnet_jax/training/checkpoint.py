"""Checkpoints: the one file that knows Orbax.

A checkpoint holds the state, the random key and the place in the data, so that
a run continued from it is the run that was never interrupted. Orbax writes in
the background, under a temporary name until the checkpoint is whole.
"""

import logging
import math
import pathlib
from typing import Any

import grain
import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from hdnet_jax.errors import UserError
from hdnet_jax.training.state import TrainState

log = logging.getLogger(__name__)

BEST_METRIC = "psnr"  # of harmonized validation images; more is better
# Of checkpoints between evaluations: Orbax warns about each without metrics.
_UNMEASURED = {BEST_METRIC: -math.inf}


def _quality(metrics: dict[str, float]) -> float:
  return metrics[BEST_METRIC]


class Checkpoints:
  """The checkpoints of one workdir, by step. Close it: saves may be pending."""

  def __init__(self, workdir: pathlib.Path, keep: int = 1):
    self.directory = pathlib.Path(workdir).absolute() / "checkpoints"
    self._broken = self.directory.with_name("broken_checkpoints")
    self._keep = keep
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
        cleanup_tmp_directories=True,
        enable_async_checkpointing=True,
      ),
      item_names=("state", "data"),
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
    self,
    state: TrainState,
    batches: grain.DatasetIterator,
    metrics: dict[str, float] | None = None,
  ) -> None:
    """Starts writing the checkpoint of `state.step`; once is enough."""
    step = int(state.step)
    if step in self.steps():
      return
    self._manager.save(
      step,
      args=ocp.args.Composite(
        state=ocp.args.StandardSave(_storable(state)),
        data=ocp.args.JsonSave(batches.get_state()),
      ),
      metrics=metrics or _UNMEASURED,
    )

  def restore_latest(
    self, like: TrainState, batches: grain.DatasetIterator
  ) -> TrainState | None:
    """The newest state that can be read, with `batches` set to its place.

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
        restored = self._manager.restore(
          step,
          args=ocp.args.Composite(
            state=ocp.args.StandardRestore(_storable(like)),
            data=ocp.args.JsonRestore(),
          ),
        )
      except (ValueError, OSError, KeyError, TypeError) as error:
        failures[step] = error
        continue
      self._set_aside(failures)
      batches.set_state(restored["data"])
      return _restored(restored["state"])
    if failures:
      raise UserError(
        f"no checkpoint in {self.directory} can be read "
        f"({_one_line(failures[max(failures)])}); restore one from a copy, or "
        "start anew in another --workdir"
      )
    return None

  def restore_params(self, step: int, like: TrainState) -> dict:
    """The parameters at `step`."""
    try:
      restored = self._manager.restore(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardRestore(_storable(like))
        ),
      )
    except (ValueError, OSError, KeyError, TypeError) as error:
      raise UserError(
        f"{self.path(step)} cannot be read ({_one_line(error)}); evaluate "
        f"another step: {self.steps()}"
      ) from error
    return _restored(restored["state"]).params

  def _set_aside(self, failures: dict[int, Exception]) -> None:
    """Moves unreadable checkpoints away, so that their steps can be saved."""
    if not failures:
      return
    self._manager.close()
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
    self._manager = self._open()

  def wait(self) -> None:
    """Returns when everything saved is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    self._manager.wait_until_finished()
    self._manager.close()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_: Any) -> None:
    self.close()


def _storable(state: TrainState) -> dict[str, Any]:
  """The state as plain arrays: a typed random key by its numbers."""
  if isinstance(state.key, jax.ShapeDtypeStruct):
    key = jax.eval_shape(jax.random.key_data, state.key)
    key = key.update(sharding=state.key.sharding)
  else:
    key = jax.random.key_data(state.key)
  return {
    "step": state.step,
    "params": state.params,
    "opt_state": state.opt_state,
    "key": key,
  }


def _restored(stored: dict[str, Any]) -> TrainState:
  return TrainState(
    **{**stored, "key": jax.random.wrap_key_data(stored["key"])}
  )


def _one_line(error: Exception) -> str:
  text = " ".join(str(error).split())
  return f"{type(error).__name__}: {text[:200]}"
