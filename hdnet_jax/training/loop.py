"""The training loop."""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from clu import parameter_overview
from jax.sharding import Mesh

from hdnet_jax import weights
from hdnet_jax.atomic_write import writing
from hdnet_jax.config import Config
from hdnet_jax.data.examples import Source
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.devices import check_divides, make_mesh
from hdnet_jax.distributed import (
  StopSignals,
  compile_before_start,
  is_main,
  run_on_main,
)
from hdnet_jax.evaluation import visuals
from hdnet_jax.evaluation.evaluator import (
  Evaluator,
  network,
  spread,
  summary_of,
)
from hdnet_jax.evaluation.report import write_report
from hdnet_jax.evaluation.tables import Row
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.batches import run_batches
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.evaluate import facts_of
from hdnet_jax.training.restore import load_initial_params
from hdnet_jax.training.schedule import make_plan
from hdnet_jax.training.state import (
  TrainState,
  abstract_state,
  make_optimizer,
  make_start,
)
from hdnet_jax.training.step import Measures, make_train_step
from hdnet_jax.training.writer import MetricWriter, TrainLog

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
  """Train as `config` says, evaluate on its test split, return the state.

  A workdir that holds an unfinished run of the same config is continued from
  its newest checkpoint, and ends bitwise as if it had never stopped.

  Args:
    config: the run.
    workdir: its folder; see `training.workdir` for what is in it.
    devices: to train on, all by default. With several processes, each calls
      this, inside `distributed.initialize`.

  Raises:
    UserError: for data, workdir or checkpoint that cannot be used.
    NonFiniteLoss: where training diverged; nothing bad is saved.
    Stopped: after SIGTERM or Ctrl-C.
  """
  workdir = pathlib.Path(workdir)

  # Data, devices and initial weights are checked before anything is written.
  sources = _Sources(
    train=open_source(config.data, "train"),
    validation=open_source(config.data, config.data.validation_split),
    test=open_source(config.data, config.data.test_split),
  )
  mesh = make_mesh(config.mesh, devices)
  check_divides("batch_size", config.batch_size, mesh)
  check_divides("eval_batch_size", config.eval_batch_size, mesh)
  initial_params = None
  # A continued run no longer needs the weights file.
  if config.training.initial_weights and not run_on_main(
    lambda: workdirs.checkpoint_steps(workdir)
  ):
    initial_params = load_initial_params(config)

  with writing(workdir), workdirs.held(workdir):
    workdirs.claim(workdir, config, len(sources.train) / config.batch_size)
    with Checkpoints(workdir, config.keep) as checkpoints:
      return _train_in(
        workdir, config, sources, mesh, initial_params, checkpoints
      )


# Number, state after it, measures.
_Steps = Generator[tuple[int, TrainState, Measures], None, None]


class _Sources(NamedTuple):
  train: Source
  validation: Source
  test: Source


def _train_in(
  workdir: pathlib.Path,
  config: Config,
  sources: _Sources,
  mesh: Mesh,
  initial_params: dict | None,
  checkpoints: Checkpoints,
) -> TrainState:
  steps_per_epoch = len(sources.train) / config.batch_size
  total = make_plan(config, steps_per_epoch).total
  optimizer = make_optimizer(config.optimizer, steps_per_epoch)
  evaluator = Evaluator(config, network(config.model), mesh)
  state = _restore_or_start(
    config, optimizer, mesh, initial_params, checkpoints
  )
  first_step = int(state.step)

  with MetricWriter(workdir, first_step, total) as writer:
    if first_step < total:
      if is_main():  # weights from before the run was extended
        (workdir / weights.OF_RUN).unlink(missing_ok=True)
      if first_step:
        writer.say(f"continuing {workdir} from step {first_step}")
      state = _train(
        config,
        total,
        _steps(config, workdir, sources.train, optimizer, mesh, state),
        TrainLog(config, writer, steps_per_epoch),
        lambda state: _validate(evaluator, state, sources.validation, writer),
        checkpoints,
        state,
      )

    _write_weights(workdir, config, state, checkpoints)
    # The test split, once, with the last parameters.
    rows = write_report(
      evaluator,
      state.eval_params,
      sources.test,
      config,
      workdir / "evaluation",
      facts_of(config, "last", total),
      writer.evaluating,
    )
    writer.scalars(total, summary_of(rows), "test")
  return state


def _write_weights(
  workdir: pathlib.Path,
  config: Config,
  state: TrainState,
  checkpoints: Checkpoints,
) -> None:
  """Write the best checkpoint's weights, which are then used without Orbax."""
  checkpoints.wait()
  step = checkpoints.best()
  if step is None:  # no validation gave a number
    return
  params = checkpoints.restore(step, like=state).eval_params
  if is_main():
    provenance = weights.provenance_of(config, step, "best")
    weights.save(workdir / weights.OF_RUN, params, config.model, provenance)


def _restore_or_start(
  config: Config,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  initial_params: dict | None,
  checkpoints: Checkpoints,
) -> TrainState:
  """Return the state of the newest checkpoint; without any, a new state."""
  start = make_start(config, optimizer, mesh)
  state = checkpoints.restore_latest(abstract_state(start, mesh))
  if state is None:
    state = start()
    if initial_params is not None:
      state = state.with_params(initial_params)
    if is_main():
      overview = parameter_overview.get_parameter_overview(state.params)
      log.info("\n%s", overview)
  return state


def _steps(
  config: Config,
  workdir: pathlib.Path,
  source: Source,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  state: TrainState,
) -> _Steps:
  """Yield step, state and measures to the run's end; donate earlier states.

  With `config.profile_steps`, trace that many steps after the first, which
  compiles, into WORKDIR/profile.
  """
  plan = make_plan(config, len(source) / config.batch_size)
  train_step = compile_before_start(make_train_step(config, optimizer, mesh))
  first = int(state.step) + 1
  # The place in the data is the step.
  batches = run_batches(config, source, mesh, first - 1, plan.half_size)
  count = config.profile_steps if is_main() else 0
  traced = range(first + 1, first + 1 + count)
  with contextlib.ExitStack() as trace:
    for step in range(first, plan.total + 1):
      if traced and step == traced[0]:
        jax.block_until_ready(state)
        trace.enter_context(jax.profiler.trace(str(workdir / "profile")))
      # Nothing waits for the device here: the next batch is read while it
      # computes this one.
      state, measures = train_step(state, next(batches))
      if traced and step == traced[-1]:
        jax.block_until_ready(state)
        trace.close()
      yield step, state, measures


def _train(
  config: Config,
  total: int,
  steps: _Steps,
  train_log: TrainLog,
  validate: Callable[[TrainState], dict[str, float]],
  checkpoints: Checkpoints,
  state: TrainState,
) -> TrainState:
  """Take all steps from `state`; log, evaluate and save between them."""
  with StopSignals() as stop, contextlib.closing(steps):
    for step, state, measures in steps:
      train_log.add(step, measures)
      last = step == total
      # Read once: a stop can be asked for between two lines.
      stopping = stop.asked(step) and not last
      logging_now = step % config.log_every == 0 or last
      saving = step % config.save_every == 0 or last or stopping
      evaluating = step % config.eval_every == 0 or last
      if not (logging_now or saving or evaluating):
        continue

      # Log.
      checkpoints.notice()
      losses = train_log.losses()
      _check_finite(losses, step, checkpoints)
      if logging_now:
        train_log.write(step, losses, measures)

      # Evaluate.
      metrics = None
      if evaluating:
        with train_log.paused():
          metrics = validate(state)

      # Save.
      if saving or evaluating:
        checkpoints.save(state, metrics)
      if stopping:
        checkpoints.wait()
        raise Stopped(
          f"stopped at step {step} of {total}, saved in "
          f"{checkpoints.path(step)}; the same command continues it"
        )
  return state


def _check_finite(
  losses: np.ndarray, step: int, checkpoints: Checkpoints
) -> None:
  """Raise NonFiniteLoss if one of the losses up to `step` is not finite."""
  bad = np.flatnonzero(~np.isfinite(losses))
  if not bad.size:
    return
  first = step - len(losses) + 1 + int(bad[0])
  checkpoints.wait()  # the last good checkpoint may be on its way
  saved = checkpoints.steps()
  good = (
    f"the last good checkpoint is {checkpoints.path(saved[-1])}"
    if saved
    else "there is no checkpoint before it"
  )
  raise NonFiniteLoss(
    f"the loss is {losses[bad[0]]} at step {first}; {good}. Train with a "
    "lower --config.optimizer.learning_rate in another --workdir"
  )


def _validate(
  evaluator: Evaluator, state: TrainState, source: Source, writer: MetricWriter
) -> dict[str, float]:
  """Log and return the validation split's means."""
  step, params = int(state.step), state.eval_params
  done = 0

  def on_rows(rows: list[Row]) -> None:
    nonlocal done
    done += len(rows)
    writer.evaluating(done, len(source))

  rows = evaluator.rows(params, source, on_rows=on_rows)
  metrics = summary_of(rows)
  writer.scalars(step, metrics, "validation")
  shown = evaluator.comparisons(params, source, spread(len(source)))
  writer.picture(step, "validation", np.asarray(visuals.grid(shown)))
  before = np.mean([row["composite_fmse"] for row in rows])
  writer.say(
    f"step {step}: validation PSNR {metrics['psnr']:.2f} dB, "
    f"fMSE {before:.0f} → {metrics['fmse']:.0f}"
  )
  return metrics
