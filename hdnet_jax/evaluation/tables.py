"""From one row an image to means, and to the table that people read."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from hdnet_jax.evaluation.protocols import NAMES

Row = dict[str, Any]  # name, subset, ratio and the protocol's values

# Table 2 of the paper: the foreground's share of the image, upper bounds.
RATIO_BINS = (("0-5 %", 0.05), ("5-15 %", 0.15), ("15-100 %", 1.0))
_TITLES = {"mse": "MSE", "psnr": "PSNR", "fmse": "fMSE", "ssim": "SSIM"}
_DIGITS = {"mse": 2, "psnr": 2, "fmse": 2, "ssim": 4}


def ratio_bin(row: Row) -> str:
  """The name of the row's foreground-ratio bin: bounds belong to the lower."""
  # Ratios are float32: 5 % may be 0.05000000075. Less than a pixel at 2048.
  ratio = row["ratio"] / (1 + 3e-7)
  return next(name for name, bound in RATIO_BINS if ratio <= bound)


def summarize(rows: Iterable[Row]) -> dict[str, Any]:
  """Means over images.

  An image equal to its truth has an infinite PSNR. Such images are left out of
  the PSNR's mean and counted in `infinite_psnr`.
  """
  rows = list(rows)
  summary: dict[str, Any] = {"count": len(rows)}
  for kind in ("composite", "harmonized"):
    values = {}
    for name in NAMES:
      column = [row[f"{kind}_{name}"] for row in rows]
      finite = [value for value in column if not math.isinf(value)]
      values[name] = math.fsum(finite) / len(finite) if finite else None
      if name == "psnr":
        values["infinite_psnr"] = len(column) - len(finite)
    summary[kind] = values
  return summary


def group(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list]:
  """Rows by `key`, in order of first appearance."""
  groups: dict[str, list] = {}
  for row in rows:
    groups.setdefault(key(row), []).append(row)
  return groups


def report_of(rows: list[Row], **facts: Any) -> dict[str, Any]:
  """What metrics.json holds: `facts`, then means over all and by part."""
  by_ratio = group(rows, ratio_bin)
  return {
    **facts,
    **summarize(rows),
    "by_subset": {
      name: summarize(part)
      for name, part in sorted(group(rows, lambda r: r["subset"]).items())
    },
    "by_foreground_ratio": {
      name: summarize(by_ratio[name])
      for name, _ in RATIO_BINS
      if name in by_ratio
    },
  }


def table_of(report: dict[str, Any]) -> Table:
  """The report as a table: composite above harmonized in every cell."""
  infinite = report["harmonized"]["infinite_psnr"]
  table = Table(
    title=f"protocol {report['protocol']!r}, split {report['split']!r}, "
    f"step {report['step']}",
    caption=f"{infinite} images equal to the truth are not in the mean PSNR"
    if infinite
    else None,
    show_lines=True,
  )
  table.add_column("images of")
  table.add_column("count", justify="right")
  table.add_column("image")
  for name in NAMES:
    sign = "↓" if "mse" in name else "↑"
    table.add_column(f"{_TITLES[name]} {sign}", justify="right")
  sections = [
    report["by_subset"],
    {f"foreground {k}": v for k, v in report["by_foreground_ratio"].items()},
    {"all": report},
  ]
  for section in sections:
    for title, summary in section.items():
      cells = (_cell(summary, name) for name in NAMES)
      count = str(summary["count"])
      table.add_row(title, count, "composite\nharmonized", *cells)
  return table


def _cell(summary: dict[str, Any], name: str) -> str:
  return "\n".join(
    _number(summary[kind][name], name) for kind in ("composite", "harmonized")
  )


def _number(value: float | None, name: str) -> str:
  return "inf" if value is None else f"{value:.{_DIGITS[name]}f}"
