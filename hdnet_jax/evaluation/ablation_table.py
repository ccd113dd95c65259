"""From the runs of an ablation to the table that people read."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation.bootstrap import interval
from hdnet_jax.evaluation.tables import Row

METRICS = ("psnr", "mse", "fmse", "ssim")
PAIRED = ("psnr", "fmse")  # of which differences are told
_DIGITS = {"psnr": 2, "mse": 2, "fmse": 2, "ssim": 4}
_HEADER = (
  *("row", "LD", "MGD", "parameters", "steps"),
  *("PSNR ↑", "MSE ↓", "fMSE ↓", "SSIM ↑", "ΔPSNR", "ΔfMSE"),
)
_TEXTS = 3  # columns of the header that are not numbers
_FILE_WIDTH = 160  # of a log, where no terminal tells one


@dataclasses.dataclass(frozen=True)
class Run:
  """A finished run: one row with one seed."""

  row: str
  seed: int
  model: ModelConfig
  parameters: int
  steps: int
  images_per_second: float
  images: list[Row]  # of every test image, under one protocol

  def column(self, name: str) -> np.ndarray:
    """The values of one of the rows' numbers, float [N]."""
    return np.array([image[name] for image in self.images])


def summarize(
  runs: Sequence[Run],
  baseline: str,
  missing: Sequence[str] = (),
  protocol: str = "standard",
) -> dict[str, Any]:
  """What ablation.json holds.

  A row's means are means over its seeds of means over images. Infinite PSNRs,
  of images equal to the truth, are left out and counted. Differences are row
  minus baseline, image by image, over the seeds that both have.

  Args:
    runs: one or more, row by row.
    baseline: the row that the others are compared with; there are no
      differences where it has no run.
    missing: names of what has no finished run.

  Raises:
    UserError: where the runs were not evaluated on the same images.
  """
  _check_images(runs)
  rows: dict[str, list[Run]] = {}
  for run in runs:
    rows.setdefault(run.row, []).append(run)
  first = next(iter(rows.values()))
  composites = [_means(run, "composite") for run in first]
  return {
    "protocol": protocol,
    "images": len(runs[0].images),
    "baseline": baseline,
    "missing": list(missing),
    "composite": _over_seeds(composites, np.mean),
    "rows": [
      _summarize_row(row, its_runs, rows.get(baseline, []))
      for row, its_runs in rows.items()
    ],
  }


def _check_images(runs: Sequence[Run]) -> None:
  names = [image["name"] for image in runs[0].images]
  of_seed: dict[int, np.ndarray] = {}
  for run in runs:
    title = f"{run.row}, seed {run.seed}"
    if [image["name"] for image in run.images] != names:
      raise UserError(
        f"the row {title} was not evaluated on the images of "
        f"{runs[0].row}; leave it out with --rows"
      )
    # Made composites depend on the seed.
    values = run.column("composite_mse")
    expected = of_seed.setdefault(run.seed, values)
    # Devices differ in the last digits.
    if not np.allclose(values, expected, rtol=1e-3, atol=1e-3):
      raise UserError(
        f"the row {title} was evaluated on other composites than the rows "
        "before it; leave it out with --rows"
      )


def _summarize_row(
  row: str, runs: Sequence[Run], baseline: Sequence[Run]
) -> dict[str, Any]:
  seeds = [_means(run, "harmonized") for run in runs]
  psnr = _over_images([run.column("harmonized_psnr") for run in runs])
  return {
    "row": row,
    "model": dataclasses.asdict(runs[0].model),
    "parameters": runs[0].parameters,
    "steps": max(run.steps for run in runs),
    "images_per_second": max(run.images_per_second for run in runs),
    "means": _over_seeds(seeds, np.mean),
    # The standard deviation, of two seeds or more.
    "spread": _over_seeds(seeds, lambda values: np.std(values, ddof=1))
    if len(runs) > 1
    else None,
    "seeds": {
      str(run.seed): means for run, means in zip(runs, seeds, strict=True)
    },
    "psnr_interval": list(interval(psnr)) if psnr.size else None,
    "difference": _differences(runs, baseline),
  }


def _means(run: Run, kind: str) -> dict[str, float | None]:
  """Means over images; None where every PSNR is infinite."""
  means: dict[str, float | None] = {}
  for name in METRICS:
    values = run.column(f"{kind}_{name}")
    finite = values[~np.isinf(values)]
    means[name] = float(finite.mean()) if finite.size else None
  infinite = np.isinf(run.column(f"{kind}_psnr"))
  return {**means, "infinite_psnr": int(infinite.sum())}


def _over_seeds(seeds: Sequence[dict], function) -> dict[str, float | None]:
  result = {}
  for name in METRICS:
    values = [means[name] for means in seeds]
    result[name] = None if None in values else float(function(values))
  result["infinite_psnr"] = sum(means["infinite_psnr"] for means in seeds)
  return result


def _over_images(columns: Iterable[np.ndarray]) -> np.ndarray:
  """Means over columns, float [N], without images infinite in any of them."""
  stacked = np.stack(list(columns))
  return stacked[:, np.isfinite(stacked).all(axis=0)].mean(axis=0)


def _differences(
  runs: Sequence[Run], baseline: Sequence[Run]
) -> dict[str, Any] | None:
  """Row minus baseline; None for the baseline, or where they share no seed."""
  others = {run.seed: run for run in baseline}
  pairs = [(run, others[run.seed]) for run in runs if run.seed in others]
  if not pairs or runs[0].row == baseline[0].row:
    return None
  result: dict[str, Any] = {"seeds": [run.seed for run, _ in pairs]}
  for name in PAIRED:
    column = f"harmonized_{name}"
    both = np.stack([(a.column(column), b.column(column)) for a, b in pairs])
    both = both[:, :, np.isfinite(both).all(axis=(0, 1))]
    values = (both[:, 0] - both[:, 1]).mean(axis=0)
    if not values.size:
      result[name] = None
      continue
    low, high = interval(values)
    result[name] = {
      "mean": float(values.mean()),
      "low": low,
      "high": high,
      "images": len(values),
    }
  return result


def cells(report: dict[str, Any]) -> list[list[str]]:
  """The table's lines, the composite's first, one text a column of it."""
  lines = [["composite", "", "", "", "", *_values(report["composite"]), "", ""]]
  for row in report["rows"]:
    difference = row["difference"] or {}
    lines.append(
      [
        row["row"],
        _local(row["model"]),
        _global(row["model"]),
        f"{row['parameters']:,}",
        f"{row['steps']:,}",
        *_values(row["means"], row["spread"]),
        *(_difference(difference.get(name), name) for name in PAIRED),
      ]
    )
  return lines


def _local(model: dict[str, Any]) -> str:
  return {
    "none": "–",
    "official": "official",
    "paper": f"K = {model['neighbors']}",
  }[model["local_dynamics"]]


def _global(model: dict[str, Any]) -> str:
  name = model["global_dynamics"]
  return "–" if name == "none" else name.replace("_", " ")


def _values(means: dict[str, Any], spread=None) -> list[str]:
  texts = []
  for name in METRICS:
    text = _number(means[name], name)
    if spread and spread[name] is not None:
      text += f" ± {_number(spread[name], name)}"
    texts.append(text)
  return texts


def _number(value: float | None, name: str) -> str:
  return "inf" if value is None else f"{value:.{_DIGITS[name]}f}"


def _difference(value: dict[str, float] | None, name: str) -> str:
  if value is None:
    return "–"
  mean, low, high = (
    f"{value[key]:+.{_DIGITS[name]}f}" for key in ("mean", "low", "high")
  )
  return f"{mean} [{low}, {high}]"


def notes(report: dict[str, Any]) -> list[str]:
  """Sentences that the table does not go without."""
  rows = report["rows"]
  lines = [
    f"Means over {report['images']} images, protocol {report['protocol']}."
  ]
  if any(row["difference"] for row in rows):
    lines.append(
      f"Δ is row minus {report['baseline']}, image by image, with the 95 % "
      "bootstrap interval over images; it does not tell how much another seed "
      "would differ."
    )
  elif len(rows) > 1:
    lines.append(f"No differences: {report['baseline']} has no run to compare.")
  if any(row["spread"] for row in rows):
    lines.append("± is the standard deviation over seeds.")
  infinite = sum(row["means"]["infinite_psnr"] for row in rows)
  infinite += report["composite"]["infinite_psnr"]
  if infinite:
    lines.append(
      f"{infinite} infinite PSNRs, of images equal to the truth, are left out."
    )
  if report["missing"]:
    lines.append(f"Not finished: {', '.join(report['missing'])}.")
  return lines


def markdown(report: dict[str, Any]) -> str:
  """The text of ablation.md: the table, its notes, and every seed's means."""
  align = ["---"] * _TEXTS + ["---:"] * (len(_HEADER) - _TEXTS)
  parts = [
    "# Ablation",
    _markdown_table([list(_HEADER), align, *cells(report)]),
    *notes(report),
  ]
  if any(len(row["seeds"]) > 1 for row in report["rows"]):
    header = ["row", "seed", *_HEADER[5:9]]
    lines = [
      [row["row"], seed, *_values(means)]
      for row in report["rows"]
      for seed, means in row["seeds"].items()
    ]
    align = ["---"] + ["---:"] * (len(header) - 1)
    parts += ["## Each seed", _markdown_table([header, align, *lines])]
  return "\n\n".join(parts) + "\n"


def _markdown_table(lines: list[list[str]]) -> str:
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rich_table(report: dict[str, Any]) -> Table:
  """The same table for the terminal."""
  table = Table(caption="\n".join(notes(report)), caption_justify="left")
  for number, title in enumerate(_HEADER):
    justify = "left" if number < _TEXTS else "right"
    table.add_column(title, justify=justify, no_wrap=number == 0)
  for line in cells(report):
    # As Text: brackets are no markup.
    table.add_row(*(Text(cell) for cell in line))
  return table


def show(report: dict[str, Any]) -> None:
  """Prints the table."""
  console = Console()
  if not console.is_terminal:
    console.width = _FILE_WIDTH
  console.print(rich_table(report))
