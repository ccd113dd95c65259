"""Measure weights on genuine, moved, in-place and untouched objects.

Prints one table for any weights: genuine composites by subset (--genuine), test
photos whose object was moved or recoloured in its place by a change that
training does not use, and photos with which nothing is wrong (--photos).
docs/evaluation.md explains the columns.

examples:
  hdnet scorecard --genuine data/iharmony4 --photos data/photos
  hdnet scorecard runs/mine --genuine data/iharmony4 --json mine.json
  hdnet scorecard mine.safetensors --photos data/photos --size 128
"""

import argparse
import json
import pathlib

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "scorecard", __doc__, _scorecard)
  parser.add_argument(
    "weights",
    nargs="?",
    default="hdnet-lite",
    help="a released network, a file or a run's folder (default: %(default)s)",
  )
  for names, help in (
    ("--genuine DIR", "folder in iHarmony4's layout"),
    ("--photos DIR", "folder with images/, masks/ and manifest.csv"),
  ):
    arguments.add(parser, names, f"{help}; its test split is measured")
  arguments.add(
    parser,
    "--size N",
    "pixels of the square images (default: the network's)",
    type=int,
  )
  arguments.add(parser, "--batch N", "images at once", 12)
  arguments.add(
    parser, "--json FILE", "write the numbers to", type=pathlib.Path
  )


def _scorecard(options: argparse.Namespace) -> None:
  if not (options.genuine or options.photos):
    raise UserError("give --genuine DIR, --photos DIR, or both")

  from hdnet_jax import weights
  from hdnet_jax.atomic_write import write_text
  from hdnet_jax.evaluation import scorecard
  from hdnet_jax.terminal import print_tables

  loaded = weights.load(options.weights)
  size = options.size or loaded.image_size
  rows = scorecard.scorecard(
    loaded.params,
    loaded.model,
    size,
    options.genuine or "",
    options.photos or "",
    options.batch,
    on_row=lambda row: print("  ".join(scorecard.cells(row)), flush=True),
  )
  title = f"{options.weights}, {size}x{size}"
  print_tables([scorecard.table_of(title, rows)])
  if options.json is not None:
    numbers = {"weights": str(options.weights), "size": size, "rows": rows}
    write_text(options.json, json.dumps(numbers, indent=2) + "\n")
    print(options.json)
