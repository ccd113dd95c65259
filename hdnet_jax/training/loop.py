"""The training loop, in chapters."""

import dataclasses
import itertools
import logging
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh

from hdnet_jax.atomic_write import writing
from hdnet_jax.config import Config
from hdnet_jax.data.examples import Source
from hdnet_jax.data.pipeline import Reader, open_source, training_batches
from hdnet_jax.devices import check_divides, make_mesh, prefetch_to_device
from hdnet_jax.distributed import is_main, together
from hdnet_jax.evaluation import visuals
from hdnet_jax.evaluation.evaluator import (
  Evaluator,
  network,
  spread,
  summary_of,
)
from hdnet_jax.evaluation.report import write_report
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.device_cache import cached_batches
from hdnet_jax.training.evaluate import facts_of
from hdnet_jax.training.initial import initial_params
from hdnet_jax.training.interrupt import StopSignals
from hdnet_jax.training.schedule import make_plan
from hdnet_jax.training.state import (
  TrainState,
  abstract_state,
  make_model,
  make_optimizer,
  make_schedule,
  make_start,
)
from hdnet_jax.training.step import make_train_step
from hdnet_jax.training.writer import RunLog, SilentLog

log = logging.getLogger(__name__)


class NonFiniteLoss(ArithmeticError):
  """The loss became NaN or infinite; the message names step and checkpoint."""


class Stopped(Exception):
  """The run was asked to stop, has saved, and can be continued."""


def train_and_evaluate(
  config: Config,
  workdir: str | pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
) -> TrainState:
  """Trains as `config` says, evaluates on its test split, returns the state.

  A workdir that holds an unfinished run of the same config is continued from
  its newest checkpoint, and ends bitwise as if it had never stopped.

  Args:
    config: the run.
    workdir: its folder; see `training.workdir` for what is in it.
    devices: to train on, all by default. With several processes, each calls
      this, inside `distributed.joined`.

  Raises:
    UserError: for data, workdir or checkpoint that cannot be used.
    NonFiniteLoss: where training diverged; nothing bad is saved.
    Stopped: after SIGTERM or Ctrl-C.
  """
  workdir = pathlib.Path(workdir)

  # Data, devices and weights to start from: what does not fit is found before
  # anything is written.
  sources = _Sources(
    open_source(config.data, "train"),
    open_source(config.data, config.data.validation_split),
    open_source(config.data, config.data.test_split),
  )
  mesh = make_mesh(config.mesh, devices)
  check_divides("batch_size", config.batch_size, mesh)
  check_divides("eval_batch_size", config.eval_batch_size, mesh)
  weights = initial_params(config, workdir)
  steps_per_epoch = len(sources.train) / config.batch_size

  with writing(workdir), workdirs.held(workdir):
    workdirs.claim(workdir, config, steps_per_epoch)
    with Checkpoints(workdir, config.keep) as checkpoints:
      return _train_in(workdir, config, sources, mesh, weights, checkpoints)


@dataclasses.dataclass(frozen=True)
class _Sources:
  train: Source
  validation: Source
  test: Source


def _train_in(
  workdir: pathlib.Path,
  config: Config,
  sources: _Sources,
  mesh: Mesh,
  weights: dict | None,
  checkpoints: Checkpoints,
) -> TrainState:
  """The run in its own folder."""
  # The functions that are compiled.
  steps_per_epoch = len(sources.train) / config.batch_size
  plan = make_plan(config, steps_per_epoch)
  total_steps = plan.total
  optimizer = make_optimizer(config.optimizer, steps_per_epoch)
  train_step = together(make_train_step(config, optimizer, mesh))
  evaluator = Evaluator(config, network(make_model(config.model)), mesh)

  # State: shapes first, then a checkpoint's values or new ones.
  start = make_start(config, optimizer, mesh)
  state = checkpoints.restore_latest(abstract_state(start, mesh))
  if state is None:
    state = start()
    if weights is not None:
      state = state.starting_from(weights)
    if is_main():
      overview = parameter_overview.get_parameter_overview(state.params)
      log.info("\n%s", overview)
  first_step = int(state.step)

  with (
    RunLog(workdir, first_step, total_steps) if is_main() else SilentLog()
  ) as run_log:
    if 0 < first_step < total_steps:
      run_log.say(f"continuing {workdir} from step {first_step}")
    run = _Run(
      config=config,
      total_steps=total_steps,
      # The place in the data is the step.
      batches=_open_batches(
        config, sources.train, first_step, plan.half_size, mesh
      ),
      checkpoints=checkpoints,
      run_log=run_log,
      learning_rate=make_schedule(config.optimizer, steps_per_epoch),
      train_step=train_step,
      evaluator=evaluator,
      validation_source=sources.validation,
    )
    with StopSignals() as stop:
      state = _train(run, state, first_step, stop)

    # The end: the test split, once, with the last parameters.
    rows = write_report(
      evaluator,
      state.evaluated,
      sources.test,
      config,
      workdir / "evaluation",
      facts_of(config, "last", total_steps),
      run_log.evaluating,
    )
    run_log.scalars(total_steps, summary_of(rows), "test")
  return state


def _open_batches(
  config: Config, source: Source, start: int, half_size: int, mesh: Mesh
) -> Iterator[dict[str, jax.Array]]:
  """Batches from number `start` on; those before `half_size` are smaller."""
  if start < half_size:
    small = dataclasses.replace(
      config.data, image_size=config.data.image_size // 2
    )
    yield from itertools.islice(
      _batches_from(start, open_source(small, "train"), config, mesh),
      half_size - start,
    )
  yield from _batches_from(max(start, half_size), source, config, mesh)


def _batches_from(
  start: int, source: Source, config: Config, mesh: Mesh
) -> Iterator[dict[str, jax.Array]]:
  """The source's batches from number `start` on, on the mesh."""
  data = config.data
  if data.cache == "device":
    return cached_batches(source, config, mesh, start)
  batches = training_batches(
    source,
    config.batch_size,
    config.seed,
    Reader(
      data.threads, data.workers, jax.process_index(), jax.process_count()
    ),
    start,
    data.flip,
    data.crop,
    data.composites if data.makes_composites else None,
  )
  return prefetch_to_device(batches, mesh)


@dataclasses.dataclass(frozen=True)
class _Run:
  """What the loop needs besides the state."""

  config: Config
  total_steps: int
  batches: Iterator[dict[str, jax.Array]]  # on the devices
  checkpoints: Checkpoints
  run_log: RunLog | SilentLog
  learning_rate: Callable[[int], Any]
  train_step: Callable
  evaluator: Evaluator
  validation_source: Source


def _train(
  run: _Run,
  state: TrainState,
  first_step: int,
  stop: StopSignals,
) -> TrainState:
  """Steps from `first_step` to the end."""
  config = run.config
  losses: list[jax.Array] = []  # on the device, of the steps since `clock`
  clock = time.perf_counter()

  for step in range(first_step + 1, run.total_steps + 1):
    last = step == run.total_steps

    # One step. Nothing waits for the device here: the next batch is read
    # while this one is computed.
    batch = next(run.batches)
    state, measures = run.train_step(state, batch)
    losses.append(measures["loss"])
    run.run_log.step(step)

    # Log. The stop is read once: it can be asked for between two lines.
    stopping = stop.asked(step) and not last
    logging_now = step % config.log_every == 0 or last
    saving = step % config.save_every == 0 or last or stopping
    evaluating = step % config.eval_every == 0 or last
    if not (logging_now or saving or evaluating):
      continue
    run.checkpoints.notice()
    values = _finite(losses, step, run.checkpoints)
    if logging_now:
      seconds = time.perf_counter() - clock
      speed = len(losses) * config.batch_size / seconds
      _log_step(run, step, values, float(measures["gradient_norm"]), speed)
      losses, clock = [], time.perf_counter()

    # Evaluate.
    metrics = None
    if evaluating:
      metrics = _validate(run, state, step)
      clock += metrics.pop("seconds")

    # Save.
    if saving or evaluating:
      run.checkpoints.save(state, metrics)
    if stopping:
      run.checkpoints.wait()
      raise Stopped(
        f"stopped at step {step} of {run.total_steps}, saved in "
        f"{run.checkpoints.path(step)}; the same command continues it"
      )
  return state


def _finite(
  losses: list[jax.Array], step: int, checkpoints: Checkpoints
) -> np.ndarray:
  """The losses of the steps up to `step`, once they are known to be finite."""
  values = np.array(jax.device_get(losses), np.float64)
  bad = np.flatnonzero(~np.isfinite(values))
  if bad.size:
    first = step - len(values) + 1 + int(bad[0])
    checkpoints.wait()  # the last good one may be on its way
    saved = checkpoints.steps()
    good = (
      f"the last good checkpoint is {checkpoints.path(saved[-1])}"
      if saved
      else "there is no checkpoint before it"
    )
    raise NonFiniteLoss(
      f"the loss is {values[bad[0]]} at step {first}; {good}. Train with a "
      "lower --config.optimizer.learning_rate in another --workdir"
    )
  return values


def _log_step(
  run: _Run, step: int, losses: np.ndarray, norm: float, speed: float
) -> None:
  values = {
    "loss": float(losses.mean()),
    "gradient_norm": norm,
    "learning_rate": float(run.learning_rate(step - 1)),
    "images_per_second": speed,
  }
  run.run_log.scalars(step, values, "train")
  run.run_log.note(step, f"loss {values['loss']:.4f}  {speed:.1f} images/s")


def _validate(run: _Run, state: TrainState, step: int) -> dict[str, float]:
  """The validation split's means, logged; and the `seconds` that it took."""
  clock = time.perf_counter()
  source, params = run.validation_source, state.evaluated
  done = 0

  def on_rows(made) -> None:
    nonlocal done
    done += len(made)
    run.run_log.evaluating(done, len(source))

  rows = run.evaluator.rows(params, source, on_rows=on_rows)
  metrics = summary_of(rows)
  run.run_log.scalars(step, metrics, "validation")
  shown = run.evaluator.comparisons(params, source, spread(len(source)))
  run.run_log.picture(step, "validation", np.asarray(visuals.grid(shown)))
  before = np.mean([row["composite_fmse"] for row in rows])
  run.run_log.say(
    f"step {step}: validation PSNR {metrics['psnr']:.2f} dB, "
    f"fMSE {before:.0f} → {metrics['fmse']:.0f}"
  )
  return {**metrics, "seconds": time.perf_counter() - clock}


def last_checkpoint(workdir: pathlib.Path) -> pathlib.Path:
  """The folder of the newest checkpoint of a finished run."""
  with Checkpoints(workdir, read_only=True) as checkpoints:
    return checkpoints.path(checkpoints.steps()[-1])
