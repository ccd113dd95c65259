"""Means over the rows of an evaluation, and the tables of its report."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from hdnet_jax.data.iharmony4 import SUBSETS
from hdnet_jax.evaluation import bootstrap, published
from hdnet_jax.evaluation.metrics import METRICS, NAMES, SHIFTS, text_of
from hdnet_jax.terminal import Table

T = TypeVar("T")
# The numbers of an image under a protocol, by the columns of per_image.csv.
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
_HIGH_RESOLUTION = 1024  # of Table 5, and up


def ratio_bin(row: Row) -> str:
  """Return the row's foreground-ratio bin; bins include their upper bound."""
  return next(name for name, bound in RATIO_BINS if row["ratio"] <= bound)


def summarize(rows: Iterable[Row]) -> dict[str, Any]:
  """Return the means over images.

  Infinite PSNRs, of images equal to the truth, are left out and counted in
  `infinite_psnr`.
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
  """Return `summarize(rows)` with the 95 % bootstrap interval of each mean."""
  summary = summarize(rows)
  names = [f"{kind}_{name}" for kind in KINDS for name in NAMES]
  columns = np.array([[row[name] for name in names] for row in rows])
  columns[np.isinf(columns)] = np.nan
  pairs = bootstrap.intervals(columns).reshape(len(KINDS), len(NAMES), 2)
  for kind, of_kind in zip(KINDS, pairs, strict=True):
    summary[kind]["interval"] = {
      name: None if summary[kind][name] is None else bootstrap.rounded(pair)
      for name, pair in zip(NAMES, of_kind, strict=True)
    }
  return summary


def group(rows: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
  """Group rows by a function of each, in order of first appearance."""
  groups: dict[str, list[T]] = {}
  for row in rows:
    groups.setdefault(key(row), []).append(row)
  return groups


def report_of(rows: list[Row], **facts: Any) -> dict[str, Any]:
  """Return what metrics.json holds: `facts`, then means by protocol."""
  report: dict[str, Any] = {**facts, "protocols": {}}
  for protocol, part in group(rows, operator.itemgetter("protocol")).items():
    subsets = group(part, operator.itemgetter("subset"))
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


def tables_of(report: Mapping[str, Any]) -> list[Table]:
  """Return each protocol's tables: by subset, by ratio, all images."""
  tables = []
  for protocol, summary in report["protocols"].items():
    subsets, ratios = summary["by_subset"], summary["by_foreground_ratio"]
    size = report.get("image_size") or 0  # 0 if images keep their own sizes
    whole = {"all": summary}
    methods = _published_methods(report, protocol, subsets)
    in_high_resolution = {
      name: {"all": numbers}
      for name, numbers in published.HIGH_RESOLUTION.get(size, {}).items()
    }
    tables += [
      _table(
        f"Protocol {protocol!r}: by subset (Table 1)",
        {**subsets, **whole} if len(subsets) > 1 else {**subsets},
        ("psnr", "mse"),
        {name: published.BY_SUBSET.get(name, {}) for name in methods},
      ),
      _table(
        f"Protocol {protocol!r}: by the foreground's share (Table 2)",
        {**ratios, **whole},
        ("mse", "fmse"),
        {name: published.BY_RATIO.get(name, {}) for name in methods},
      ),
      _table(
        f"Protocol {protocol!r}: all images, "
        + (f"{size}x{size}" if size else "their own size")
        + (" (Table 5)" if (size or 0) >= _HIGH_RESOLUTION else ""),
        whole,
        tuple(METRICS),
        {name: in_high_resolution.get(name, {}) for name in methods},
      ),
    ]
  return tables


def _published_methods(
  report: Mapping[str, Any], protocol: str, subsets: Mapping
) -> list[str]:
  """Return the methods published for the same data and protocol."""
  comparable = protocol == "paper" and set(subsets) <= set(SUBSETS)
  if not comparable or report.get("split") != "test":
    return []
  method = report.get("method")
  return ["composite", method] if method else ["composite"]


def _table(
  title: str,
  groups: Mapping[str, Mapping],
  names: Sequence[str],
  published_numbers: Mapping[str, Mapping[str, published.Numbers]],
) -> Table:
  rows = []
  infinite = 0
  for group_title, summary in groups.items():
    head = (group_title, f"{summary['count']:,}")
    for kind in KINDS:
      rows.append((*head, kind, *(_cell(summary[kind], n) for n in names)))
      head = ("", "")
      infinite = max(infinite, summary[kind]["infinite_psnr"])
    for method, by_group in published_numbers.items():
      numbers = by_group.get(group_title, {})
      if numbers:
        cells = (
          text_of(name, numbers[name]) if name in numbers else ""
          for name in names
        )
        rows.append(("", "", f"{method}, published", *cells))
  note = "[low, high]: 95 % bootstrap interval over images"
  if infinite and "psnr" in names:
    note += f"; {infinite} images equal to the truth are not in the PSNR"
  return Table(
    title=title,
    header=("images", "count", "image", *(METRICS[n].title for n in names)),
    rows=tuple(rows),
    notes=(note,),
  )


def _cell(means: Mapping[str, Any], name: str) -> str:
  text = text_of(name, means[name])
  if means[name] is None:
    return text
  low, high = (text_of(name, bound) for bound in means["interval"][name])
  return f"{text}\n[{low}, {high}]"
