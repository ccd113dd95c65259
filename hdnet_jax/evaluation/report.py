"""An evaluation's folder: the numbers, the tables and the pictures.

metrics.json    means, with intervals, by protocol, all and by part
report.md       the same as tables, beside the published numbers
per_image.csv   a row for each image and protocol
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
from hdnet_jax.terminal import print_tables


def check_protocols(names: Sequence[str]) -> tuple[str, ...]:
  """Check the names of protocols; return them without repetitions.

  Raises:
    UserError: for an unknown name, or for `fullres` beside another one.
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
  """Evaluate into `directory`, or continue the evaluation there.

  Every process must call this. Only process 0 writes, and returns the rows.

  Args:
    facts: what the report says besides numbers, as JSON can hold it.
    on_done: called with the images done and the images in all.

  Raises:
    UserError: where another process evaluates into `directory`.
  """
  facts = {
    **facts,
    "image_size": evaluator.image_size,
    "weights": digest(params),
    "protocols": list(evaluator.protocols),
  }
  rows_per_image = len(evaluator.protocols)
  with contextlib.ExitStack() as lock:
    run_on_main(lambda: lock.enter_context(locked(directory)))
    journal = _open_journal(directory, facts, config, source, rows_per_image)
    rows = journal.rows if journal else []
    (start,) = broadcast(np.array([len(rows) // rows_per_image]))
    done = int(start)

    def on_rows(new_rows: list[tables.Row]) -> None:
      nonlocal done
      done += len(new_rows) // rows_per_image
      if journal:
        journal.append(new_rows)
      on_done(done, len(source))

    on_done(done, len(source))
    evaluator.rows(params, source, done, on_rows)
    # The first process chooses the images to show; all compute them.
    titles = chosen(rows[::rows_per_image]) if rows else {}
    numbers = broadcast(np.array([*titles, *[-1] * PICTURES][:PICTURES]))
    titles = {int(i): titles.get(int(i), "") for i in numbers if i >= 0}
    comparisons = evaluator.comparisons(params, source, titles)
    if journal:
      _write(directory, rows, comparisons, facts)
      journal.finish()
    return rows


def _open_journal(
  directory: pathlib.Path,
  facts: Mapping[str, Any],
  config: Config,
  source: Source,
  rows_per_image: int,
) -> Journal | None:
  """Open the journal in the first process; None in the others."""
  if not is_main():
    return None
  data = {"data": config.to_dict()["data"], "seed": config.seed}
  facts = {**facts, **data, "count": len(source)}
  return Journal(directory, facts, rows_per_image)


def _write(
  directory: pathlib.Path,
  rows: list[tables.Row],
  comparisons: list[visuals.Comparison],
  facts: dict[str, Any],
) -> None:
  report = tables.report_of(rows, **facts)
  write_text(directory / "metrics.json", json.dumps(report, indent=2) + "\n")
  write_text(directory / "report.md", _markdown_of(report))
  write_then_rename(directory / "grid.png", visuals.grid(comparisons).save)
  write_then_rename(
    directory / "scatter.png", lambda path: visuals.scatter(rows, path)
  )


def _markdown_of(report: Mapping[str, Any]) -> str:
  facts = [
    f"- {name.replace('_', ' ')}: {value}"
    for name, value in report.items()
    if name != "protocols" and value is not None
  ]
  parts = [
    "# Evaluation",
    "\n".join(facts),
    *(table.markdown() for table in tables.tables_of(report)),
    "![best, median and worst images](grid.png)",
    "![fMSE before and after](scatter.png)",
  ]
  return "\n\n".join(parts) + "\n"


def digest(params: Any) -> str | None:
  """Return the sha256 of the parameters' bytes; None for no parameters."""
  leaves = jax.tree.leaves(params)
  if not leaves:
    return None
  sha = hashlib.sha256()
  for leaf in leaves:
    sha.update(np.ascontiguousarray(jax.device_get(leaf)).tobytes())
  return sha.hexdigest()


def chosen(rows: Sequence[tables.Row]) -> dict[int, str]:
  """Return titles of the best, median and worst images by gain in PSNR."""
  gains = [row["harmonized_psnr"] - row["composite_psnr"] for row in rows]
  order = sorted(
    (i for i, gain in enumerate(gains) if math.isfinite(gain)),
    key=lambda i: -gains[i],
  )
  if not order:
    return {0: "first"}
  first_of_pairs = {
    "best": 0,
    "median": (len(order) - 1) // 2,
    "worst": len(order) - 2,
  }
  titles: dict[int, str] = {}
  for name, first in first_of_pairs.items():
    for index in order[max(first, 0) : first + 2]:
      titles.setdefault(index, f"{name} ({gains[index]:+.1f} dB)")
  return titles


def show(directory: pathlib.Path) -> None:
  """Print the tables of an evaluation's folder, and where its files are."""
  path = directory / "metrics.json"
  if not path.is_file():
    raise UserError(f"{path} does not exist; run hdnet evaluate first")
  report = json.loads(path.read_text(encoding="utf-8"))
  print_tables(tables.tables_of(report))
  for name, file in (
    ("tables", "report.md"),
    ("numbers", "metrics.json"),
    ("each image", "per_image.csv"),
    ("pictures", "grid.png"),
    ("fMSE", "scatter.png"),
  ):
    print(f"{name:11s} {directory / file}")
