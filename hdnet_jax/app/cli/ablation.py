"""Train variants one after another, and compare them.

Trains every row of a config file in a folder of its own, then writes
ablation.md, ablation.json and ablation.png from what was measured. The same
command continues after an interruption; finished rows are not trained again.

Settings of all rows are overridden as with hdnet train, by --config.NAME=VALUE.

examples:
  hdnet ablation --workdir runs/ablation --config.data.root=data/iharmony4
  hdnet ablation --workdir runs/neighbors --config neighbors
  hdnet ablation --workdir runs/photos --config ablation_photos \\
      --config.data.root=data/photos --rows base hdnet --seeds 0 1 2
  hdnet ablation --workdir runs/ablation --no-train
"""

import argparse
import pathlib
from collections.abc import Sequence

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "ablation", __doc__, _ablation)
  arguments.add(
    parser,
    "--workdir DIR",
    "folder of the runs, the table and the figure",
    type=pathlib.Path,
    required=True,
  )
  arguments.add(
    parser,
    "--config NAME",
    "config with ROWS, or a file that has them; neighbors and ablation_photos "
    "have, too",
    "ablation",
  )
  parser.add_argument(
    "--rows", nargs="+", metavar="ROW", help="rows of the file (default: all)"
  )
  parser.add_argument(
    "--seeds",
    nargs="+",
    type=int,
    default=[0],
    metavar="N",
    help="every row is trained with each (default: 0)",
  )
  arguments.add(
    parser,
    "--baseline ROW",
    "row that the others are compared with (default: the first)",
  )
  for names, help, default in (
    ("--protocol NAME", "of the evaluation's numbers", "standard"),
    ("--no-train", "draw from the rows that are finished", False),
  ):
    arguments.add(parser, names, help, default)


def _ablation(options: argparse.Namespace) -> None:
  from hdnet_jax.app import ablation

  rows = ablation.choose_rows(ablation.load_rows(options.config), options.rows)
  baseline = options.baseline or rows[0]
  seeds = list(dict.fromkeys(options.seeds))
  if baseline not in rows:
    raise UserError(f"--baseline {baseline} is not one of {', '.join(rows)}")
  if min(seeds) < 0:
    raise UserError(f"--seeds are 0 or more, not {min(seeds)}")
  if options.no_train and options.overrides:
    raise UserError(
      f"--no-train reads what was trained; leave out {options.overrides[0]}"
    )
  if not options.no_train:
    from hdnet_jax.training.loop import Stopped

    jobs = ablation.make_jobs(
      options.workdir, options.config, rows, seeds, options.overrides
    )
    try:
      ablation.train_rows(jobs, lambda line: print(line, flush=True))
    except Stopped as stopped:
      print(stopped)
      return
  _draw(options.workdir, rows, seeds, baseline, options.protocol)


def _draw(
  workdir: pathlib.Path,
  rows: Sequence[str],
  seeds: Sequence[int],
  baseline: str,
  protocol: str,
) -> None:
  from hdnet_jax.app.ablation import read_runs
  from hdnet_jax.evaluation import ablation
  from hdnet_jax.terminal import print_tables

  runs, missing = read_runs(workdir, rows, seeds, protocol)
  if not runs:
    raise UserError(
      f"{workdir} has no finished row of {', '.join(rows)}; leave out "
      "--no-train to train them"
    )
  report = ablation.summarize(runs, baseline, missing, protocol)
  paths = ablation.write(report, workdir)
  print_tables([ablation.table_of(report)])
  names = "table", "numbers", "figure"
  arguments.print_results(dict(zip(names, paths, strict=True)), 9)
