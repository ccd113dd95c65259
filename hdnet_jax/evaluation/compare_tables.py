"""The tables of a comparison, for the terminal and for compare.md."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from hdnet_jax.atomic_write import write_text
from hdnet_jax.evaluation.compare import METRICS, title_of
from hdnet_jax.evaluation.tables import Table

CAPTION = (
  "[low, high]: 95 % bootstrap interval over images; it does not tell how much "
  "another training seed would differ"
)
_FILE_WIDTH = 160  # of a log, where no terminal tells one


def tables_of(report: Mapping[str, Any]) -> list[Table]:
  """For each comparison, the metrics' table and that of single images."""
  tables = []
  for comparison in report["comparisons"]:
    tables.append(_metrics_table(comparison))
    if any(comparison["most_different"].values()):
      tables.append(_images_table(comparison))
  return tables


def _metrics_table(comparison: Mapping[str, Any]) -> Table:
  baseline, run = comparison["baseline"], comparison["run"]
  rows = []
  for title, changes in {
    **comparison["by_subset"],
    "all": comparison["all"],
  }.items():
    head = (title, f"{changes['images']:,}")
    for name in METRICS:
      rows.append((*head, METRICS[name][0], *_cells(changes[name], name)))
      head = ("", "")
  note = CAPTION
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
    note=note,
  )


def _cells(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
  """Means, difference with interval, counts and verdict."""
  digits, more_digits = METRICS[name][2:]
  counts = " / ".join(f"{values[n]:,}" for n in ("wins", "ties", "losses"))
  if values["interval"] is None:
    return "", "", "", counts, values["verdict"]
  difference, low, high = (
    f"{value:+z.{more_digits}f}"
    for value in (values["difference"], *values["interval"])
  )
  return (
    f"{values['baseline']:.{digits}f}",
    f"{values['run']:.{digits}f}",
    f"{difference} [{low}, {high}]",
    counts,
    values["verdict"],
  )


def _images_table(comparison: Mapping[str, Any]) -> Table:
  baseline, run = comparison["baseline"], comparison["run"]
  rows = []
  for head, images in comparison["most_different"].items():
    for image in images:
      rows.append(
        (
          head if image is images[0] else "",
          f"{image['difference']:+z.2f}",
          title_of((image["subset"], image["name"])),
          f"{image['baseline']:.2f}",
          f"{image['run']:.2f}",
        )
      )
  return Table(
    title=f"{run} against {baseline}: images that differ most in fMSE",
    header=(f"{run} is", "difference", "image", baseline, run),
    rows=tuple(rows),
  )


def summary_of(report: Mapping[str, Any]) -> str:
  """One line: the protocol, and how many images are compared."""
  line = (
    f"protocol {report['protocol']!r}, {report['images']:,} images compared"
  )
  if report["left_out"]:
    line += f"; {report['left_out']:,} not in all runs are left out"
  return line


def markdown_of(report: Mapping[str, Any]) -> str:
  """compare.md: what was compared, and the tables."""
  tables = [table.markdown() for table in tables_of(report)]
  return "\n".join(["# Comparison", "", summary_of(report), "", *tables])


def write(
  report: Mapping[str, Any], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Writes compare.md and compare.json into `folder`; their paths."""
  texts = {
    "compare.md": markdown_of(report),
    "compare.json": json.dumps(report, indent=2, allow_nan=False) + "\n",
  }
  for name, text in texts.items():
    write_text(folder / name, text)
  return [folder / name for name in texts]


def show(report: Mapping[str, Any]) -> None:
  """Prints the tables."""
  console = Console()
  if not console.is_terminal:
    console.width = _FILE_WIDTH
  print(summary_of(report))
  for table in tables_of(report):
    console.print(table.rich())
