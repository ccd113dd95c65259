"""Evaluates a checkpoint of a training run."""

import pathlib
from collections.abc import Sequence

import jax
from rich import progress
from rich.console import Console

from hdnet_jax import sharding
from hdnet_jax.config import Config
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import run as evaluation
from hdnet_jax.hosts import is_main, together
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.state import (
  abstract_state,
  initial_state,
  make_model,
  make_optimizer,
)


def evaluate_checkpoint(
  config: Config,
  workdir: str | pathlib.Path,
  which: str,
  output: pathlib.Path,
  devices: Sequence[jax.Device] | None = None,
) -> evaluation.Evaluation:
  """Evaluates a run's checkpoint on `config`'s test split, into `output`.

  Args:
    config: must have the run's network; its data may be others.
    which: "last", or "best" on the validation split.

  Raises:
    UserError: where there is no such run, network or checkpoint.
  """
  workdir = pathlib.Path(workdir)
  trained = workdirs.read_config(workdir)
  if trained is None:
    raise UserError(f"{workdir} holds no run; train one with train.py")
  if trained.model != config.model:
    raise UserError(
      f"{workdir} was trained with {trained.model}, not {config.model}; give "
      "the config of the run"
    )
  source = open_source(config.data, config.data.test_split)
  mesh = sharding.make_mesh(config.mesh, devices)
  sharding.check_divides("eval_batch_size", config.eval_batch_size, mesh)

  # The optimizer's shapes do not depend on its schedule.
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1.0)
  like = abstract_state(lambda: initial_state(trained, optimizer), mesh)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    steps = checkpoints.steps()
    step = checkpoints.best() if which == "best" else max(steps, default=None)
    if step is None:
      raise UserError(
        f"{checkpoints.directory} has no {which} checkpoint yet; train longer"
      )
    params = checkpoints.restore(step, like).evaluated

  eval_step = together(
    evaluation.make_eval_step(config, make_model(config.model), mesh)
  )
  console = Console(stderr=True, quiet=not is_main())
  with progress.Progress(console=console) as bar:
    task = bar.add_task("evaluating", total=len(source))
    result = evaluation.evaluate(
      config,
      eval_step,
      params,
      source,
      mesh,
      on_batch=lambda done, _: bar.update(task, completed=done),
    )
  if is_main():
    evaluation.write(
      result,
      output,
      split=config.data.test_split,
      config=config.name,
      checkpoint=which,
      step=step,
    )
  return result
