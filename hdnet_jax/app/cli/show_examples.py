"""Draw the examples that a config trains on.

Draws the first examples of a run, composite | mask | truth, just as its steps
see them, so that a person can look at what the network is taught.

Settings are overridden as with hdnet train, by --config.NAME=VALUE.

examples:
  hdnet show-examples --config quickstart -o sheet.png
  hdnet show-examples --config photos -o sheet.png --count 48 \\
      --config.data.root=DIR --config.data.composites.moved=1
"""

import argparse
import itertools
import pathlib

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(
    commands, "show-examples", __doc__, _show_examples
  )
  arguments.add(parser, "--config NAME", "of the run, or a file", required=True)
  arguments.add(
    parser,
    "-o --output OUT",
    "picture to write",
    pathlib.Path("examples.png"),
    type=pathlib.Path,
  )
  arguments.add(parser, "--count N", "examples to draw", 24)
  arguments.add_force(parser)


def _show_examples(options: argparse.Namespace) -> None:
  if options.count < 1:
    raise UserError(f"--count must be 1 or more, not {options.count}")
  arguments.check_output(options.output, options)

  from hdnet_jax.app.config_file import load_config
  from hdnet_jax.atomic_write import write_then_rename
  from hdnet_jax.evaluation import visuals
  from hdnet_jax.training.batches import first_examples

  config = load_config(options.config, options.overrides)
  examples = itertools.islice(first_examples(config), options.count)
  sheet = visuals.contact_sheet(list(examples))
  write_then_rename(options.output, sheet.save)
  print(options.output)
