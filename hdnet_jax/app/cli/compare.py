"""`hdnet compare`: evaluations side by side, image by image."""

import argparse
import pathlib

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError


def add(commands) -> None:
  parser = add_parser(
    commands,
    "compare",
    help="put evaluations of the same images side by side",
    description="Compares the first run with each of the others over the "
    "images that all of them have: mean differences of pairs with their "
    "bootstrap intervals, wins and losses, and the images that differ most.",
    epilog="""examples:
  hdnet compare runs/base runs/hdnet
  hdnet compare runs/base runs/hdnet runs/large --protocol paper --most 20
  hdnet compare a/per_image.csv b/per_image.csv --output runs/compared""",
  )
  parser.add_argument(
    "runs",
    nargs="+",
    type=pathlib.Path,
    metavar="RUN",
    help="per_image.csv, its folder, or the folder of an evaluated run; the "
    "first is what the others are compared with",
  )
  parser.add_argument(
    "--protocol",
    metavar="NAME",
    help="of the numbers (default: standard, or the only one of all runs)",
  )
  parser.add_argument(
    "--most",
    type=int,
    default=10,
    metavar="N",
    help="images to list, of those that differ most (default: 10)",
  )
  parser.add_argument(
    "--output",
    type=pathlib.Path,
    metavar="DIR",
    help="folder to write compare.md and compare.json into",
  )
  parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
  if options.most < 0:
    raise UserError(f"--most must be 0 or more, not {options.most}")

  from hdnet_jax.evaluation import compare

  report = compare.compare(options.runs, options.protocol, options.most)
  compare.show(report)
  if options.output is None:
    return
  try:
    paths = compare.write(report, options.output)
  except (FileExistsError, NotADirectoryError, PermissionError) as error:
    raise UserError(
      f"--output {options.output} cannot be written ({error.strerror}); name "
      "another folder"
    ) from None
  for name, path in zip(("tables", "numbers"), paths, strict=True):
    print(f"{name:8s} {path}")
