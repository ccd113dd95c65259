"""`hdnet show-examples`: a picture of what a network is taught with."""

import argparse
import itertools
import pathlib

from hdnet_jax.app.cli.parser import add_parser, set_overrides_apart
from hdnet_jax.errors import UserError


def add(commands) -> None:
  parser = add_parser(
    commands,
    "show-examples",
    help="draw the examples that a config trains on",
    description="Draws the first examples of a run, composite | mask | truth, "
    "just as its steps see them, so that a person can look at what the network "
    "is taught.",
    epilog="""settings are overridden as with train.py, by --config.NAME=VALUE

examples:
  hdnet show-examples --config configs/quickstart.py -o sheet.png
  hdnet show-examples --config configs/photos.py -o sheet.png --count 48 \\
      --config.data.root=DIR --config.data.composites.moved=1""",
  )
  parser.add_argument(
    "--config", type=pathlib.Path, required=True, metavar="FILE"
  )
  parser.add_argument(
    "-o",
    "--output",
    type=pathlib.Path,
    default=pathlib.Path("examples.png"),
    metavar="FILE",
    help="picture to write (default: %(default)s)",
  )
  parser.add_argument(
    "--count",
    type=int,
    default=24,
    metavar="N",
    help="examples to draw (default: %(default)s)",
  )
  parser.add_argument(
    "--force", action="store_true", help="write over an existing picture"
  )
  set_overrides_apart(parser)
  parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
  if options.count < 1:
    raise UserError(f"--count must be 1 or more, not {options.count}")
  if options.output.exists() and not options.force:
    raise UserError(f"{options.output} exists; add --force to write over it")

  from hdnet_jax.app import command_line
  from hdnet_jax.atomic_write import write_then_rename
  from hdnet_jax.evaluation import visuals
  from hdnet_jax.training.batches import first_examples

  config = command_line.load_config(options.config, options.overrides)
  examples = itertools.islice(first_examples(config), options.count)
  sheet = visuals.contact_sheet(list(examples))
  write_then_rename(options.output, sheet.save)
  print(options.output)
