"""Tables of a comparison of evaluations, in the terminal and in files."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from hdnet_jax.atomic_write import write_text
from hdnet_jax.evaluation.compare import title_of
from hdnet_jax.evaluation.metrics import METRICS
from hdnet_jax.terminal import Table, print_tables

_CAPTION = (
  "[low, high]: 95 % bootstrap interval over images; it does not tell how much "
  "another training seed would differ"
)


def tables_of(report: Mapping[str, Any]) -> list[Table]:
  """Return each comparison's tables: of the metrics, and of single images."""
  tables = []
  for comparison in report["comparisons"]:
    tables.append(_metrics_table(comparison))
    if any(comparison["most_different"].values()):
      tables.append(_images_table(comparison))
  return tables


def _metrics_table(comparison: Mapping[str, Any]) -> Table:
  baseline, run = comparison["baseline"], comparison["run"]
  parts = {**comparison["by_subset"], "all": comparison["all"]}
  rows = []
  for title, changes in parts.items():
    head = (title, f"{changes['images']:,}")
    for name, metric in METRICS.items():
      rows.append((*head, metric.title, *_cells(changes[name], name)))
      head = ("", "")
  note = _CAPTION
  infinite = comparison["all"]["psnr"]["infinite"]
  if infinite:
    note += f"; PSNR without {infinite:,} images equal to the truth in a run"
  return Table(
    title=f"{run} against {baseline}",
    header=(
      *("images of", "count", "metric", baseline, run),
      *("difference", "wins / ties / losses", "verdict"),
    ),
    rows=tuple(rows),
    notes=(note,),
  )


def _cells(change: Mapping[str, Any], name: str) -> tuple[str, ...]:
  """Return means, difference with interval, counts and verdict as text."""
  counts = " / ".join(f"{change[n]:,}" for n in ("wins", "ties", "losses"))
  if change["interval"] is None:
    return "", "", "", counts, change["verdict"]
  metric = METRICS[name]
  difference, low, high = (
    f"{value:+z.{metric.difference_digits}f}"
    for value in (change["difference"], *change["interval"])
  )
  means = (f"{change[n]:.{metric.digits}f}" for n in ("baseline", "run"))
  return *means, f"{difference} [{low}, {high}]", counts, change["verdict"]


def _images_table(comparison: Mapping[str, Any]) -> Table:
  baseline, run = comparison["baseline"], comparison["run"]
  rows = []
  for head, images in comparison["most_different"].items():
    for place, image in enumerate(images):
      cells = (
        head if place == 0 else "",
        f"{image['difference']:+z.2f}",
        title_of((image["subset"], image["name"])),
        *(f"{image[name]:.2f}" for name in ("baseline", "run")),
      )
      rows.append(cells)
  return Table(
    title=f"{run} against {baseline}: images that differ most in fMSE",
    header=(f"{run} is", "difference", "image", baseline, run),
    rows=tuple(rows),
  )


def _summary_of(report: Mapping[str, Any]) -> str:
  text = (
    f"protocol {report['protocol']!r}, {report['images']:,} images compared"
  )
  if report["left_out"]:
    text += f"; {report['left_out']:,} not in all runs are left out"
  return text


def write(
  report: Mapping[str, Any], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Write compare.md and compare.json into `folder`; return their paths."""
  tables = [table.markdown() for table in tables_of(report)]
  texts = {
    "compare.md": "\n\n".join(["# Comparison", _summary_of(report), *tables]),
    "compare.json": json.dumps(report, indent=2, allow_nan=False),
  }
  for name, text in texts.items():
    write_text(folder / name, text + "\n")
  return [folder / name for name in texts]


def show(report: Mapping[str, Any]) -> None:
  """Print the tables."""
  print(_summary_of(report))
  print_tables(tables_of(report))
