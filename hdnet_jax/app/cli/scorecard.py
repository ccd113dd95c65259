"""`hdnet scorecard`: what weights do to composites that matter."""

import argparse
import json
import pathlib

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError


def add(commands) -> None:
  parser = add_parser(
    commands,
    "scorecard",
    help="measure weights on genuine, moved, in-place and untouched objects",
    description="Prints one table for any weights: genuine composites by "
    "subset (--genuine), test photos whose object was moved or recoloured in "
    "its place by a change that training does not use, and photos with which "
    "nothing is wrong (--photos). docs/evaluation.md explains the columns.",
    epilog="""examples:
  hdnet scorecard --genuine data/iharmony4 --photos data/photos
  hdnet scorecard runs/mine --genuine data/iharmony4 --json mine.json
  hdnet scorecard mine.safetensors --photos data/photos --size 128""",
  )
  parser.add_argument(
    "weights",
    nargs="?",
    default="hdnet-lite",
    help="a released network, a file or a run's folder (default: %(default)s)",
  )
  parser.add_argument(
    "--genuine",
    metavar="DIR",
    default="",
    help="folder in iHarmony4's layout; its test split is measured",
  )
  parser.add_argument(
    "--photos",
    metavar="DIR",
    default="",
    help="folder with images/, masks/ and manifest.csv; its test split",
  )
  parser.add_argument(
    "--size",
    type=int,
    metavar="N",
    help="pixels of the square images (default: the network's)",
  )
  parser.add_argument("--batch", type=int, default=12, metavar="N")
  parser.add_argument(
    "--json", type=pathlib.Path, metavar="FILE", help="write the numbers to"
  )
  parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
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
    options.genuine,
    options.photos,
    options.batch,
    on_row=lambda row: print("  ".join(scorecard.cells(row)), flush=True),
  )
  title = f"{options.weights}, {size}x{size}"
  print_tables([scorecard.table_of(title, rows)])
  if options.json is not None:
    numbers = {"weights": str(options.weights), "size": size, "rows": rows}
    write_text(options.json, json.dumps(numbers, indent=2) + "\n")
    print(options.json)
