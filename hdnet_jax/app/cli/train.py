"""Train a network and evaluate it.

Trains HDNet and evaluates it. The same command continues a run that was
stopped.

examples:
  hdnet train --config=quickstart --workdir=runs/quickstart
  hdnet train --config=photos --config.data.root=DIR
  hdnet train --config=hdnet --config.data.root=DIR \\
      --config.batch_size=24 --config.model.dtype=bfloat16
"""

import argparse
import pathlib

from hdnet_jax.app import config_file
from hdnet_jax.app.cli import arguments
from hdnet_jax.config import Config
from hdnet_jax.errors import UserError, require


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "train", __doc__, _train)
  add_config(parser)
  arguments.add(
    parser,
    "--workdir DIR",
    "the run's folder (default: runs/NAME of the config)",
  )


def add_config(parser: argparse.ArgumentParser) -> None:
  """Add --config; its overrides are parsed by `main.parse`."""
  arguments.add(
    parser,
    "--config NAME",
    f"the run: {', '.join(config_file.names())}; or a file of your own; "
    "settings are overridden by name, as in "
    "--config.batch_size=4 --config.data.root=DIR",
  )


def load_config(options: argparse.Namespace) -> Config:
  """Load the config, and let our log lines be seen."""
  require("jax", options.command)  # before the check of --config
  if options.config is None:
    raise UserError(
      "give a config, as in --config=quickstart; --help says more"
    )
  config = config_file.load_config(options.config, options.overrides)
  _show_log()
  return config


def _train(options: argparse.Namespace) -> None:
  config = load_config(options)
  workdir = pathlib.Path(options.workdir or f"runs/{config.name}")

  # JAX loads after the flags were found to be right.
  from hdnet_jax import distributed, weights
  from hdnet_jax.evaluation import report
  from hdnet_jax.training import loop
  from hdnet_jax.training.checkpoint import Checkpoints

  with distributed.initialize(config):
    try:
      loop.train_and_evaluate(config, workdir)
    except loop.Stopped as stopped:
      print(stopped)
      return
    except loop.NonFiniteLoss as error:
      raise SystemExit(f"error: {error}") from None
    with Checkpoints(workdir, read_only=True) as checkpoints:
      last = checkpoints.path(checkpoints.steps()[-1])
    if distributed.is_main():
      report.show(workdir / "evaluation")
      print(f"checkpoint  {last}")
      print(f"weights     {workdir / weights.OF_RUN}")


def _show_log() -> None:
  """Show our log lines, but only the errors of others, as Orbax logs much."""
  import logging

  import absl.logging
  from absl import flags

  flags.FLAGS.mark_as_parsed()  # else the handler complains
  absl.logging.use_absl_handler()
  absl.logging.set_verbosity(absl.logging.ERROR)
  logging.getLogger("hdnet_jax").setLevel(logging.INFO)
  # Where a save of Orbax's fails, it raises the first error; asyncio would
  # tell of the others, with a traceback each.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
