"""An evaluation's folder: the numbers, the tables and the pictures.

metrics.json    means, with intervals, by protocol, all and by part
report.md       the same as tables, beside the published numbers
per_image.csv   a row an image and protocol
grid.png        the best, median and worst images, with maps of their errors
scatter.png     fMSE before and after, by the foreground's share
"""

import contextlib
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from rich.console import Console

from hdnet_jax.atomic_write import write_text, write_then_rename
from hdnet_jax.config import Config
from hdnet_jax.data.examples import Source
from hdnet_jax.distributed import broadcast, is_main, run_on_main
from hdnet_jax.errors import UserError, nearest_name
from hdnet_jax.evaluation import tables, visuals
from hdnet_jax.evaluation.evaluator import PICTURES, Evaluator
from hdnet_jax.evaluation.full_resolution import NAME as FULLRES
from hdnet_jax.evaluation.full_resolution import FullSizeEvaluator
from hdnet_jax.evaluation.journal import Journal
from hdnet_jax.evaluation.protocols import PROTOCOLS
from hdnet_jax.lock import locked


def check_protocols(names: Sequence[str]) -> tuple[str, ...]:
  """The protocols of these names, once each.

  Raises:
    UserError: for another name.
  """
  known = [*PROTOCOLS, FULLRES]
  for name in names:
    if name not in known:
      raise UserError(
        f"--protocol={name} does not exist; {nearest_name(name, known)}"
      )
  if FULLRES in names and len(set(names)) > 1:
    raise UserError(
      f"--protocol={FULLRES} sees the images at another size than the others; "
      "evaluate it apart, with an --output of its own"
    )
  return tuple(dict.fromkeys(names))


def write_report(
  evaluator: Evaluator | FullSizeEvaluator,
  params: Any,
  source: Source,
  config: Config,
  directory: pathlib.Path,
  facts: Mapping[str, Any],
  on_done: Callable[[int, int], None] = lambda done, total: None,
) -> list[tables.Row]:
  """Evaluates into `directory`, or continues the evaluation there.

  Every process of a run calls this; the first one writes, and has all rows.

  Args:
    facts: what the report says besides numbers, as JSON can hold it.
    on_done: called with images done and images in all.

  Raises:
    UserError: where another process evaluates into `directory`.
  """
  with contextlib.ExitStack() as lock:
    run_on_main(lambda: lock.enter_context(locked(directory)))
    return _write_report(
      evaluator, params, source, config, directory, facts, on_done
    )


def _write_report(
  evaluator: Evaluator | FullSizeEvaluator,
  params: Any,
  source: Source,
  config: Config,
  directory: pathlib.Path,
  facts: Mapping[str, Any],
  on_done: Callable[[int, int], None],
) -> list[tables.Row]:
  facts = {
    **facts,
    "image_size": evaluator.image_size,
    "weights": digest(params),
    "protocols": list(evaluator.protocols),
  }
  each, journal = len(evaluator.protocols), None
  if is_main():
    data = {"data": config.to_dict()["data"], "seed": config.seed}
    journal = Journal(directory, {**facts, **data, "count": len(source)}, each)
  (done,) = broadcast(np.array([len(journal.rows) // each if journal else 0]))
  count = int(done)

  def on_rows(made: list[tables.Row]) -> None:
    nonlocal count
    count += len(made) // each
    if journal:
      journal.append(made)
    on_done(count, len(source))

  on_done(count, len(source))
  evaluator.rows(params, source, count, on_rows)
  rows = journal.rows if journal else []

  # Which images to show is known to the first process; all compute them.
  titles = _chosen(rows[::each]) if rows else {}
  numbers = broadcast(np.array([*titles, *[-1] * PICTURES][:PICTURES]))
  titles = {int(i): titles.get(int(i), "") for i in numbers if i >= 0}
  comparisons = evaluator.comparisons(params, source, titles)
  if journal:
    _write(directory, rows, comparisons, facts)
    journal.finish()
  return rows


def _write(
  directory: pathlib.Path,
  rows: list[tables.Row],
  comparisons: list[visuals.Comparison],
  facts: dict[str, Any],
) -> None:
  report = tables.report_of(rows, **facts)
  write_text(directory / "metrics.json", json.dumps(report, indent=2) + "\n")
  write_text(directory / "report.md", markdown_of(report))
  write_then_rename(directory / "grid.png", visuals.grid(comparisons).save)
  write_then_rename(
    directory / "scatter.png", lambda path: visuals.scatter(rows, path)
  )


def markdown_of(report: Mapping[str, Any]) -> str:
  """report.md: what was evaluated, the tables, how to read them."""
  facts = [
    f"- {name.replace('_', ' ')}: {value}"
    for name, value in report.items()
    if name != "protocols" and value is not None
  ]
  sections = [table.markdown() for table in tables.tables_of(report)]
  return "\n".join(
    [
      "# Evaluation",
      "",
      *facts,
      "",
      *sections,
      "![best, median and worst images](grid.png)",
      "",
      "![fMSE before and after](scatter.png)",
      "",
    ]
  )


def digest(params: Any) -> str | None:
  """The sha256 of the parameters' bytes, in the tree's order; None for none."""
  leaves = jax.tree.leaves(params)
  if not leaves:
    return None
  sha = hashlib.sha256()
  for leaf in leaves:
    sha.update(np.ascontiguousarray(jax.device_get(leaf)).tobytes())
  return sha.hexdigest()


def _chosen(rows: Sequence[tables.Row]) -> dict[int, str]:
  """The best, median and worst images by what is gained in PSNR."""
  gains = [row["harmonized_psnr"] - row["composite_psnr"] for row in rows]
  order = sorted(
    (i for i, gain in enumerate(gains) if math.isfinite(gain)),
    key=lambda i: -gains[i],
  )
  if not order:
    return {0: "first"}
  middle = (len(order) - 1) / 2
  places = [
    ("best", 0),
    ("best", 1),
    ("median", math.floor(middle)),
    ("median", math.floor(middle) + 1),
    ("worst", len(order) - 2),
    ("worst", len(order) - 1),
  ]
  titles: dict[int, str] = {}
  for name, place in places:
    if 0 <= place < len(order):
      index = order[place]
      titles.setdefault(index, f"{name} ({gains[index]:+.1f} dB)")
  return titles


def show(directory: pathlib.Path) -> None:
  """Prints the tables of an evaluation's folder, and where its files are."""
  path = directory / "metrics.json"
  if not path.is_file():
    raise UserError(f"{path} does not exist; evaluate first: eval.py")
  console = Console()
  for table in tables.tables_of(json.loads(path.read_text(encoding="utf-8"))):
    console.print(table.rich())
  for name, file in (
    ("tables", "report.md"),
    ("numbers", "metrics.json"),
    ("each image", "per_image.csv"),
    ("pictures", "grid.png"),
    ("fMSE", "scatter.png"),
  ):
    print(f"{name:11s} {directory / file}")
