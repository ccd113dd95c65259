"""Put evaluations of the same images side by side.

Compares the first run with each of the others over the images that all of them
have: mean differences of pairs with their bootstrap intervals, wins and losses,
and the images that differ most.

examples:
  hdnet compare runs/base runs/hdnet
  hdnet compare runs/base runs/hdnet runs/large --protocol paper --most 20
  hdnet compare a/per_image.csv b/per_image.csv --output runs/compared
"""

import argparse
import pathlib

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "compare", __doc__, _compare)
  parser.add_argument(
    "runs",
    nargs="+",
    type=pathlib.Path,
    metavar="RUN",
    help="per_image.csv, its folder, or the folder of an evaluated run; the "
    "first is what the others are compared with",
  )
  arguments.add(
    parser,
    "--protocol NAME",
    "of the numbers (default: standard, or the only one of all runs)",
  )
  arguments.add(parser, "--most N", "images to list, that differ most", 10)
  arguments.add(
    parser,
    "--output DIR",
    "folder to write compare.md and compare.json into",
    type=pathlib.Path,
  )


def _compare(options: argparse.Namespace) -> None:
  if options.most < 0:
    raise UserError(f"--most must be 0 or more, not {options.most}")

  from hdnet_jax.evaluation import compare, compare_tables

  report = compare.compare(options.runs, options.protocol, options.most)
  compare_tables.show(report)
  if options.output is None:
    return
  try:
    paths = compare_tables.write(report, options.output)
  except (FileExistsError, NotADirectoryError, PermissionError) as error:
    raise UserError(
      f"--output {options.output} cannot be written ({error.strerror}); name "
      "another folder"
    ) from None
  arguments.print_results(
    dict(zip(("tables", "numbers"), paths, strict=True)), 9
  )
