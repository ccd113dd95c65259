"""Which runs an ablation has: the rows of a config file, with every seed."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet_jax.app import config_file
from hdnet_jax.config import Config
from hdnet_jax.errors import UserError
from hdnet_jax.training import workdir as workdirs

Rows = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Job:
  """One row with one seed."""

  row: str
  seed: int
  config: Config
  folder: pathlib.Path


def load_rows(file: pathlib.Path) -> Rows:
  """`ROWS` of a config file.

  Raises:
    UserError: where the file cannot be read or has none.
  """
  rows = getattr(config_file.load_module(file), "ROWS", None)
  if not rows:
    raise UserError(
      f"{file} has no ROWS; give --config a file of rows, such as "
      "configs/ablation.py"
    )
  return rows


def choose(rows: Rows, wanted: Sequence[str] | None) -> list[str]:
  """The rows of `wanted`, each once and in its order; all for None."""
  for row in wanted or ():
    if row not in rows:
      raise UserError(f"no row {row!r}; the rows are {', '.join(rows)}")
  return list(dict.fromkeys(rows if wanted is None else wanted))


def make_jobs(
  workdir: pathlib.Path,
  file: pathlib.Path,
  rows: Sequence[str],
  seeds: Sequence[int],
  overrides: Sequence[str],
) -> list[Job]:
  """Every row with every seed, seed by seed, with the overrides in all.

  Args:
    overrides: arguments such as --config.batch_size=4.

  Raises:
    UserError: for an override that does not fit or undoes the comparison, and
      a folder that holds a run of another config.
  """
  _check_overrides(load_rows(file), overrides)
  configs = {row: _parse(file, row, overrides) for row in rows}
  jobs = [
    Job(
      row=row,
      seed=seed,
      config=dataclasses.replace(configs[row], seed=seed),
      folder=folder_of(workdir, row, seed),
    )
    for seed in seeds
    for row in rows
  ]
  for job in jobs:
    # Now, not when the rows before it have trained for days.
    if workdirs.read_config(job.folder) is not None:
      workdirs.claim(job.folder, job.config)
  return jobs


def folder_of(workdir: pathlib.Path, row: str, seed: int) -> pathlib.Path:
  return workdir / (row if seed == 0 else f"{row}_seed{seed}")


def _check_overrides(rows: Rows, overrides: Sequence[str]) -> None:
  compared = {f"--config.model.{name}" for row in rows.values() for name in row}
  for override in overrides:
    name = override.partition("=")[0]
    if name in compared:
      raise UserError(f"{name} is what the rows differ in; leave it out")
    if name == "--config.seed":
      raise UserError("choose the seed by --seeds, not by --config.seed")


def _parse(file: pathlib.Path, row: str, overrides: Sequence[str]) -> Config:
  run = config_file.load_config(f"{file}:{row}", overrides)
  if run.distributed:
    raise UserError(
      "hdnet ablation trains in one process; train the rows of a distributed "
      "run with train.py, then draw with --no-train"
    )
  return run
