"""Evaluate a network, or images of any method.

Evaluates a trained HDNet, or images of any method, on a config's test split.
The same command continues an evaluation that was interrupted.

examples:
  hdnet evaluate --config=quickstart --workdir=runs/quickstart
  hdnet evaluate --config=hdnet --config.data.root=DIR \\
      --workdir=runs/hdnet --checkpoint=best --protocol=paper,standard
  hdnet evaluate --config=hdnet --config.data.root=DIR \\
      --weights=hdnet.safetensors
  hdnet evaluate --config=hdnet --config.data.root=DIR \\
      --predictions=other_method/results --output=runs/other_method
  hdnet evaluate --config=held_out --weights=hdnet-lite
"""

import argparse
import pathlib

from hdnet_jax.app.cli import arguments
from hdnet_jax.app.cli.train import add_config, load_config
from hdnet_jax.errors import UserError


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "evaluate", __doc__, _evaluate)
  add_config(parser)
  arguments.add(
    parser,
    "--workdir DIR",
    "a training run's folder (default: runs/NAME of the config)",
  )
  arguments.add_checkpoint(parser)
  arguments.add(
    parser,
    "--weights FILE",
    "a weights file (.safetensors), or a released network, such as hdnet-lite, "
    "instead of a run",
  )
  arguments.add(
    parser,
    "--predictions DIR",
    "a folder of harmonized images made elsewhere, named as their composites",
  )
  arguments.add(
    parser,
    "--protocol NAMES",
    "how images are compared: standard, paper, or both with a comma; or "
    "fullres, which takes iHarmony4's images at their own size",
    "standard",
  )
  arguments.add(
    parser,
    "--output DIR",
    "folder for the results (default: WORKDIR/evaluation, or that of runs/NAME "
    "with the name of the weights' file or the predictions' folder)",
  )


def _evaluate(options: argparse.Namespace) -> None:
  config = load_config(options)
  sources = ("workdir", "weights", "predictions")
  given = [f"--{name}" for name in sources if getattr(options, name)]
  if len(given) > 1:
    raise UserError(f"give one of {' and '.join(given)}, not both")
  stem = pathlib.Path(options.weights or options.predictions or "").stem
  workdir = pathlib.Path(options.workdir or f"runs/{stem or config.name}")
  output = pathlib.Path(options.output or workdir / "evaluation")

  # JAX loads after the flags were found to be right.
  from hdnet_jax import distributed, weights
  from hdnet_jax.evaluation import report
  from hdnet_jax.training import evaluate

  with distributed.initialize(config):
    protocols = report.check_protocols(
      [name.strip() for name in options.protocol.split(",")]
    )
    if options.weights:
      params, model, _ = weights.load(options.weights)
      name = pathlib.Path(options.weights).name
      evaluate.evaluate_weights(config, params, model, name, output, protocols)
    elif options.predictions:
      folder = pathlib.Path(options.predictions)
      evaluate.evaluate_predictions(config, folder, output, protocols)
    else:
      which = options.checkpoint
      evaluate.evaluate_checkpoint(config, workdir, which, output, protocols)
    if distributed.is_main():
      report.show(output)
