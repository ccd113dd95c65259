"""From a row an image to means, and to the tables that people read."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import rich.table
from rich.text import Text

from hdnet_jax.data.iharmony4 import SUBSETS
from hdnet_jax.evaluation import bootstrap, published
from hdnet_jax.evaluation.metrics import NAMES, SHIFTS

# name, subset, protocol, ratio, and the metrics before and after: the columns
# of per_image.csv.
Row = dict[str, Any]
KINDS = ("composite", "harmonized")
TEXT = ("name", "subset", "protocol")
COLUMNS = (
  *TEXT,
  "ratio",
  *(f"{kind}_{name}" for kind in KINDS for name in (*NAMES, *SHIFTS)),
)

# Table 2 of the paper: the foreground's share of the image, upper bounds.
RATIO_BINS = (("0-5 %", 0.05), ("5-15 %", 0.15), ("15-100 %", 1.0))
_TITLES = {"mse": "MSE ↓", "psnr": "PSNR ↑", "fmse": "fMSE ↓", "ssim": "SSIM ↑"}
_DIGITS = {"mse": 2, "psnr": 2, "fmse": 2, "ssim": 4}
_HIGH_RESOLUTION = 1024  # of Table 5, and up


def ratio_bin(row: Row) -> str:
  """The name of the row's foreground-ratio bin: bounds belong to the lower."""
  return next(name for name, bound in RATIO_BINS if row["ratio"] <= bound)


def summarize(rows: Iterable[Row]) -> dict[str, Any]:
  """Means over images.

  An image equal to its truth has an infinite PSNR. Such images are left out of
  the PSNR's mean and counted in `infinite_psnr`.
  """
  rows = list(rows)
  summary: dict[str, Any] = {"count": len(rows)}
  for kind in KINDS:
    means = {}
    for name in NAMES:
      column = [row[f"{kind}_{name}"] for row in rows]
      finite = [value for value in column if not math.isinf(value)]
      means[name] = math.fsum(finite) / len(finite) if finite else None
      if name == "psnr":
        means["infinite_psnr"] = len(column) - len(finite)
    summary[kind] = means
  return summary


def with_intervals(rows: Sequence[Row]) -> dict[str, Any]:
  """`summarize`, and the 95 % bootstrap interval of every mean."""
  summary = summarize(rows)
  names = [f"{kind}_{name}" for kind in KINDS for name in NAMES]
  columns = np.array([[row[name] for name in names] for row in rows])
  columns[np.isinf(columns)] = np.nan
  pairs = bootstrap.intervals(columns).reshape(len(KINDS), len(NAMES), 2)
  for kind, of_kind in zip(KINDS, pairs, strict=True):
    summary[kind]["interval"] = {
      # Ten digits: what is behind them is the order of summation.
      name: None
      if summary[kind][name] is None
      else [float(f"{bound:.10g}") for bound in pair]
      for name, pair in zip(NAMES, of_kind, strict=True)
    }
  return summary


def group(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list]:
  """Rows by `key`, in order of first appearance."""
  groups: dict[str, list] = {}
  for row in rows:
    groups.setdefault(key(row), []).append(row)
  return groups


def report_of(rows: list[Row], **facts: Any) -> dict[str, Any]:
  """What metrics.json holds: `facts`, then means by protocol, all and parts."""
  report: dict[str, Any] = {**facts, "protocols": {}}
  for protocol, part in group(rows, lambda row: row["protocol"]).items():
    subsets = group(part, lambda row: row["subset"])
    ratios = group(part, ratio_bin)
    report["protocols"][protocol] = {
      **with_intervals(part),
      "by_subset": {
        name: with_intervals(subsets[name]) for name in sorted(subsets)
      },
      "by_foreground_ratio": {
        name: with_intervals(ratios[name])
        for name, _ in RATIO_BINS
        if name in ratios
      },
    }
  return report


@dataclasses.dataclass(frozen=True)
class Table:
  """A table for the terminal and for report.md; cells may have two lines."""

  title: str
  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  note: str = ""

  def rich(self) -> rich.table.Table:
    table = rich.table.Table(
      title=Text(self.title), caption=Text(self.note) if self.note else None
    )
    for number, name in enumerate(self.header):
      table.add_column(
        Text(name),  # brackets are no markup
        justify="left" if number in (0, 2) else "right",
        overflow="fold",
        min_width=len("harmonized") if number == 2 else None,
      )
    for number, row in enumerate(self.rows):
      # A group's name stands in its first row alone.
      last = number + 1 == len(self.rows) or self.rows[number + 1][0] != ""
      table.add_row(*map(Text, row), end_section=last)
    return table

  def markdown(self) -> str:
    lines = [
      f"### {self.title}",
      "",
      _line(self.header),
      _line(
        "---" if number in (0, 2) else "---:"
        for number in range(len(self.header))
      ),
      *(_line(row) for row in self.rows),
    ]
    return "\n".join(lines + (["", self.note] if self.note else [])) + "\n"


def tables_of(report: Mapping[str, Any]) -> list[Table]:
  """Per protocol: by subset (Table 1), by ratio (Table 2), all (Table 5)."""
  tables = []
  for protocol, summary in report["protocols"].items():
    subsets, ratios, size = (
      summary["by_subset"],
      summary["by_foreground_ratio"],
      report.get("image_size"),
    )
    whole = {"all": summary}
    theirs = _published(report, protocol, subsets)
    tables += [
      _table(
        f"Protocol {protocol!r}: by subset (Table 1)",
        {**subsets, **whole} if len(subsets) > 1 else {**subsets},
        ("psnr", "mse"),
        {name: published.BY_SUBSET.get(name, {}) for name in theirs},
      ),
      _table(
        f"Protocol {protocol!r}: by the foreground's share (Table 2)",
        {**ratios, **whole},
        ("mse", "fmse"),
        {name: published.BY_RATIO.get(name, {}) for name in theirs},
      ),
      _table(
        f"Protocol {protocol!r}: all images, {_size(size)}"
        + (" (Table 5)" if (size or 0) >= _HIGH_RESOLUTION else ""),
        whole,
        ("psnr", "mse", "fmse", "ssim"),
        {
          name: {"all": published.HIGH_RESOLUTION[size].get(name, {})}
          for name in theirs
          if size in published.HIGH_RESOLUTION
        },
      ),
    ]
  return tables


def _size(size: int | None) -> str:
  return f"{size}x{size}" if size else "their own size"


def _published(
  report: Mapping[str, Any], protocol: str, subsets: Mapping
) -> list[str]:
  """The published methods that belong beside a report: same data, protocol."""
  comparable = protocol == "paper" and set(subsets) <= set(SUBSETS)
  if not comparable or report.get("split") != "test":
    return []
  method = report.get("method")
  return ["composite", method] if method else ["composite"]


def _table(
  title: str,
  groups: Mapping[str, Mapping],
  names: Sequence[str],
  theirs: Mapping[str, Mapping[str, published.Numbers]],
) -> Table:
  rows = []
  infinite = 0
  for title_of_group, summary in groups.items():
    head = (title_of_group, f"{summary['count']:,}")
    for kind in KINDS:
      rows.append((*head, kind, *(_cell(summary[kind], n) for n in names)))
      head = ("", "")
      infinite = max(infinite, summary[kind]["infinite_psnr"])
    for method, by_group in theirs.items():
      numbers = by_group.get(title_of_group, {})
      if numbers:
        cells = (_number(numbers.get(name), name) for name in names)
        rows.append(("", "", f"{method}, published", *cells))
  notes = ["[low, high]: 95 % bootstrap interval over images"]
  if infinite and "psnr" in names:
    notes.append(f"{infinite} images equal to the truth are not in the PSNR")
  return Table(
    title=title,
    header=("images", "count", "image", *(_TITLES[name] for name in names)),
    rows=tuple(rows),
    note="; ".join(notes),
  )


def _cell(means: Mapping[str, Any], name: str) -> str:
  if means[name] is None:
    return "inf"
  low, high = (_number(bound, name) for bound in means["interval"][name])
  return f"{_number(means[name], name)}\n[{low}, {high}]"


def _number(value: float | None, name: str) -> str:
  return "" if value is None else f"{value:.{_DIGITS[name]}f}"


def _line(cells: Iterable[str]) -> str:
  cells = (cell.replace("|", "\\|") for cell in cells)
  return "| " + " | ".join(cells).replace("\n", " ") + " |"
