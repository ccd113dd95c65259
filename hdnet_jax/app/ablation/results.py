"""What the runs of an ablation came to, read from their folders."""

import dataclasses
import functools
import json
import math
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from hdnet_jax.app.ablation.rows import folder_of
from hdnet_jax.atomic_write import write_text, write_then_rename
from hdnet_jax.config import Config, ModelConfig, differences
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import ablation_figure, ablation_table, journal
from hdnet_jax.evaluation.ablation_table import Run
from hdnet_jax.evaluation.tables import Row
from hdnet_jax.training import workdir as workdirs


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
  from hdnet_jax.weights import parameter_shapes

  return sum(math.prod(shape) for shape in parameter_shapes(model).values())


def write(report: dict[str, Any], workdir: pathlib.Path) -> list[pathlib.Path]:
  """Writes ablation.md, .json and .png into `workdir`; returns their paths."""
  paths = [workdir / f"ablation.{suffix}" for suffix in ("md", "json", "png")]
  write_text(paths[0], ablation_table.markdown(report))
  write_text(paths[1], json.dumps(report, indent=2) + "\n")
  write_then_rename(paths[2], lambda path: ablation_figure.draw(report, path))
  return paths
