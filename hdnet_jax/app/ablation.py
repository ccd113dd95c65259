"""An ablation: train the rows of a config file, and read their runs back.

A config file of rows has `ROWS`, from a row's name to the fields of
ModelConfig in which it differs, and `get_config(row)`. Its runs are in
WORKDIR/ROW for seed 0 and WORKDIR/ROW_seedN for another.
"""

import dataclasses
import json
import logging
import math
import operator
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hdnet_jax.app import config_file
from hdnet_jax.config import Config, differences
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import journal
from hdnet_jax.evaluation.ablation import Run
from hdnet_jax.evaluation.tables import Row, group
from hdnet_jax.training import workdir as workdirs

Rows = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Job:
  """A row to train with a seed."""

  row: str
  seed: int
  config: Config
  folder: pathlib.Path


def load_rows(name: str) -> Rows:
  """Return `ROWS` of a config.

  Raises:
    UserError: where it cannot be read or has none.
  """
  rows = getattr(config_file.load_module(name), "ROWS", None)
  if not rows:
    raise UserError(
      f"{name} has no ROWS; give --config one of rows, such as ablation"
    )
  return rows


def choose_rows(rows: Rows, names: Sequence[str] | None) -> list[str]:
  """Return `names` in their order, without repetitions; all for None."""
  for name in names or ():
    if name not in rows:
      raise UserError(f"no row {name!r}; the rows are {', '.join(rows)}")
  return list(dict.fromkeys(rows if names is None else names))


def folder_of(workdir: pathlib.Path, row: str, seed: int) -> pathlib.Path:
  """Return the folder of a row's run."""
  return workdir / (row if seed == 0 else f"{row}_seed{seed}")


def make_jobs(
  workdir: pathlib.Path,
  name: str,
  rows: Sequence[str],
  seeds: Sequence[int],
  overrides: Sequence[str],
) -> list[Job]:
  """Return a job for every row and seed, seed by seed.

  Args:
    name: of the config, or its file.
    overrides: arguments for all rows, such as --config.batch_size=4.

  Raises:
    UserError: for an override that does not fit or undoes the comparison, and
      a folder that holds a run of another config.
  """
  _check_overrides(load_rows(name), overrides)
  configs = {
    row: config_file.load_config(f"{name}:{row}", overrides) for row in rows
  }
  if any(config.distributed for config in configs.values()):
    raise UserError(
      "hdnet ablation trains in one process; train the rows of a distributed "
      "run with hdnet train, then draw with --no-train"
    )
  jobs = []
  for seed in seeds:
    for row in rows:
      config = dataclasses.replace(configs[row], seed=seed)
      jobs.append(Job(row, seed, config, folder_of(workdir, row, seed)))
  # Checked now, not when the rows before it have trained for days.
  for job in jobs:
    if workdirs.read_config(job.folder) is not None:
      workdirs.claim(job.folder, job.config)
  return jobs


def _check_overrides(rows: Rows, overrides: Sequence[str]) -> None:
  compared = {f"--config.model.{name}" for row in rows.values() for name in row}
  for override in overrides:
    name = override.partition("=")[0]
    if name in compared:
      raise UserError(f"{name} is what the rows differ in; leave it out")
    if name == "--config.seed":
      raise UserError("choose the seed by --seeds, not by --config.seed")


def train_rows(
  jobs: Sequence[Job], say: Callable[[str], None] = print
) -> list[Job]:
  """Train what is not finished, and return the jobs that were trained.

  Args:
    say: called with a line before every row.

  Raises:
    Stopped: of `training.loop`, after SIGTERM or Ctrl-C in a row.
    UserError: for what a row cannot use, and where it diverges.
  """
  trained = []
  for number, job in enumerate(jobs, 1):
    title = f"row {number} of {len(jobs)}: {job.row}, seed {job.seed}"
    if is_finished(job.folder):
      say(f"{title}, is finished in {job.folder}")
      continue
    say(f"{title}, trains in {job.folder}")
    _train(job)
    trained.append(job)
  return trained


def _train(job: Job) -> None:
  # JAX loads after the arguments were found to be right.
  import jax

  from hdnet_jax.training import loop

  logging.getLogger("hdnet_jax").setLevel(logging.INFO)
  try:
    loop.train_and_evaluate(job.config, job.folder)
  except loop.NonFiniteLoss as error:
    raise UserError(
      f"row {job.row}: {error}; or leave the row out with --rows"
    ) from None
  finally:
    jax.clear_caches()  # no other row reuses these functions


def is_finished(folder: pathlib.Path) -> bool:
  """Return whether the run in `folder` has trained to its end.

  The evaluation's files do not show that: hdnet evaluate writes them at any
  time.
  """
  evaluation = folder / "evaluation"
  return (
    (evaluation / "metrics.json").is_file()
    and (evaluation / journal.NAME).is_file()
    and any(
      name.startswith("test/") for row in _read_log(folder) for name in row
    )
  )


def read_runs(
  workdir: pathlib.Path,
  rows: Sequence[str],
  seeds: Sequence[int],
  protocol: str = "standard",
) -> tuple[list[Run], list[str]]:
  """Return the finished runs, row by row, and the folder names of the others.

  Raises:
    UserError: for files that cannot be used, and runs that differ in more than
      model and seed.
  """
  runs, missing = [], []
  first: tuple[pathlib.Path, Config] | None = None
  for row in rows:
    for seed in seeds:
      folder = folder_of(workdir, row, seed)
      config = workdirs.read_config(folder)
      if config is None or not is_finished(folder):
        missing.append(folder.name)
        continue
      first = first or (folder, config)
      _check_trained_alike(*first, folder, config)
      runs.append(_read_run(folder, row, config, protocol))
  return runs, missing


def _check_trained_alike(
  first: pathlib.Path, old: Config, folder: pathlib.Path, config: Config
) -> None:
  new = dataclasses.replace(config, model=old.model, seed=old.seed)
  changed = differences(old, new)
  if changed:
    raise UserError(
      f"{first} and {folder} differ in more than the model: "
      f"{'; '.join(changed)}; choose comparable rows with --rows"
    )


def _read_run(
  folder: pathlib.Path, row: str, config: Config, protocol: str
) -> Run:
  from hdnet_jax.model.architecture import parameter_shapes

  path = folder / "evaluation" / "metrics.json"
  checkpoint = json.loads(path.read_text(encoding="utf-8")).get("checkpoint")
  if checkpoint not in (None, "last"):
    raise UserError(
      f"{path} is of the {checkpoint} checkpoint; evaluate the last one again "
      "with hdnet evaluate"
    )
  steps = [line for line in _read_log(folder) if "train/loss" in line]
  if not steps:
    raise UserError(f"{folder / 'metrics.jsonl'} has no step of training")
  shapes = parameter_shapes(config.model)
  return Run(
    row=row,
    seed=config.seed,
    model=config.model,
    parameters=sum(map(math.prod, shapes.values())),
    steps=steps[-1]["step"],
    images_per_second=statistics.median(
      line["train/images_per_second"] for line in steps
    ),
    images=_read_images(folder / "evaluation" / journal.NAME, protocol),
  )


def _read_log(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Read metrics.jsonl, without a last line that is being written."""
  path = folder / "metrics.jsonl"
  if not path.is_file():
    return []
  lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
  try:
    return [json.loads(line) for line in lines if line.endswith("\n")]
  except json.JSONDecodeError as error:
    raise UserError(
      f"{path} has a line that is not JSON ({error}); remove the line"
    ) from None


def _read_images(path: pathlib.Path, protocol: str) -> list[Row]:
  rows = group(journal.read(path), operator.itemgetter("protocol"))
  if protocol not in rows:
    raise UserError(
      f"{path} has no protocol {protocol!r}, only "
      f"{', '.join(rows) or 'an empty table'}; run hdnet evaluate "
      f"--protocol={protocol}"
    )
  return rows[protocol]
