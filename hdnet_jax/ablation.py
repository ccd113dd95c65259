"""Rows of a config file trained one after another, and read back.

A config file of rows has `ROWS`, from a row's name to the fields of
ModelConfig in which it differs, and `get_config(row)`. Its runs are in
WORKDIR/ROW for seed 0 and WORKDIR/ROW_seedN for another.
"""

import dataclasses
import functools
import importlib.util
import json
import logging
import pathlib
import statistics
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from hdnet_jax import command_line
from hdnet_jax.config import Config, ModelConfig, differences
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import ablation_figure, ablation_table, journal
from hdnet_jax.evaluation.ablation_table import Run
from hdnet_jax.evaluation.tables import Row
from hdnet_jax.files import write_text, write_then_rename
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
  rows = getattr(_load(file), "ROWS", None)
  if not rows:
    raise UserError(
      f"{file} has no ROWS; give --config a file of rows, such as "
      "configs/ablation.py"
    )
  return rows


def _load(file: pathlib.Path) -> types.ModuleType:
  spec = importlib.util.spec_from_file_location("rows_of_config", file)
  if spec is None or not file.is_file():
    raise UserError(
      f"{file} cannot be read; give --config a file of rows, such as "
      "configs/ablation.py"
    )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


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
  """The config of a row, with overrides parsed as train.py parses them."""
  arguments = ["hdnet", *overrides]
  values = flags.FlagValues()
  config = _load(file).get_config(row)
  try:
    holder = config_flags.DEFINE_config_dict(
      "config",
      config,
      flag_values=values,
      lock_config=True,
      sys_argv=arguments,
    )
    values(arguments)
  except flags.Error as error:
    raise UserError(str(error)) from None
  except command_line.UNKNOWN_SETTING as error:
    raise UserError(command_line.say_unknown(error)) from None
  run = Config.from_dict(holder.value.to_dict())
  if run.distributed:
    raise UserError(
      "hdnet ablation trains in one process; train the rows of a distributed "
      "run with train.py, then draw with --no-train"
    )
  return run


def run_rows(
  jobs: Sequence[Job], say: Callable[[str], None] = print
) -> list[Job]:
  """Trains what is not finished, one after another; returns what was trained.

  Args:
    say: is called with a line before every row.

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
    jax.clear_caches()  # no other row has the same functions


def is_finished(folder: pathlib.Path) -> bool:
  """Whether the run in `folder` has trained to its end and was evaluated.

  The evaluation's files alone do not say so: eval.py writes them at any time.
  """
  evaluation = folder / "evaluation"
  return (
    (evaluation / "metrics.json").is_file()
    and (evaluation / "per_image.csv").is_file()
    and any(name.startswith("test/") for row in _log_of(folder) for name in row)
  )


def read_runs(
  workdir: pathlib.Path,
  rows: Sequence[str],
  seeds: Sequence[int],
  protocol: str = "standard",
) -> tuple[list[Run], list[str]]:
  """The finished runs, row by row, and the folders' names of the others.

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
  path = folder / "evaluation" / "metrics.json"
  checkpoint = json.loads(path.read_text(encoding="utf-8")).get("checkpoint")
  if checkpoint not in (None, "last"):
    raise UserError(
      f"{path} is of the {checkpoint} checkpoint; evaluate the last one again "
      "with eval.py"
    )
  steps = [line for line in _log_of(folder) if "train/loss" in line]
  if not steps:
    raise UserError(f"{folder / 'metrics.jsonl'} has no step of training")
  return Run(
    row=row,
    seed=config.seed,
    model=config.model,
    parameters=count_parameters(config.model),
    steps=steps[-1]["step"],
    images_per_second=statistics.median(
      line["train/images_per_second"] for line in steps
    ),
    images=_read_images(folder / "evaluation" / "per_image.csv", protocol),
  )


def _log_of(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl; of a run that goes on, the last may be cut."""
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
  rows = journal.read(path)
  there = dict.fromkeys(row["protocol"] for row in rows)
  if protocol not in there:
    raise UserError(
      f"{path} has no protocol {protocol!r}, only "
      f"{', '.join(there) or 'an empty table'}; evaluate with eval.py "
      f"--protocol={protocol}"
    )
  return [row for row in rows if row["protocol"] == protocol]


@functools.cache
def count_parameters(model: ModelConfig) -> int:
  """The numbers in a model's parameters; nothing is computed."""
  import jax

  from hdnet_jax.training.state import make_model

  # They do not depend on the image's size.
  image = jax.ShapeDtypeStruct((1, 8, 8, 3), "float32")
  mask = jax.ShapeDtypeStruct((1, 8, 8, 1), "float32")
  shapes = jax.eval_shape(
    make_model(model).init, jax.random.key(0), image, mask
  )
  return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def write(report: dict[str, Any], workdir: pathlib.Path) -> list[pathlib.Path]:
  """Writes ablation.md, .json and .png into `workdir`; returns their paths."""
  paths = [workdir / f"ablation.{suffix}" for suffix in ("md", "json", "png")]
  write_text(paths[0], ablation_table.markdown(report))
  write_text(paths[1], json.dumps(report, indent=2) + "\n")
  write_then_rename(paths[2], lambda path: ablation_figure.draw(report, path))
  return paths
