"""Compare the rows of an ablation: its numbers, table and figure."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, SupportsFloat

import numpy as np

from hdnet_jax.atomic_write import write_text, write_then_rename
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import visuals
from hdnet_jax.evaluation.bootstrap import interval
from hdnet_jax.evaluation.metrics import METRICS, text_of
from hdnet_jax.evaluation.tables import Row, group
from hdnet_jax.terminal import Table

_COMPARED = ("psnr", "fmse")  # with the baseline, image by image
_TITLES = tuple(metric.title for metric in METRICS.values())


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
    """Return a column of per_image.csv, float [N]."""
    return np.array([image[name] for image in self.images])


def summarize(
  runs: Sequence[Run],
  baseline: str,
  missing: Sequence[str] = (),
  protocol: str = "standard",
) -> dict[str, Any]:
  """Return what ablation.json holds.

  A row's means are over images, then over seeds. Infinite PSNRs, of images
  equal to the truth, are left out and counted. Differences are row minus
  baseline, image by image, over the seeds that both have.

  Args:
    runs: one or more, row by row.
    baseline: the row that the others are compared with, if it has a run.
    missing: names of the runs that are not finished.

  Raises:
    UserError: where the runs were not evaluated on the same images.
  """
  _check_images(runs)
  rows = group(runs, lambda run: run.row)
  first = rows[runs[0].row]
  composites = [_means(run, "composite") for run in first]
  return {
    "protocol": protocol,
    "images": len(runs[0].images),
    "baseline": baseline,
    "missing": list(missing),
    "composite": _over_seeds(composites, np.mean),
    "rows": [
      _summarize_row(row, of_row, rows.get(baseline, []))
      for row, of_row in rows.items()
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
    # Composites of photos depend on the seed.
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
  """Average over images; None where every PSNR is infinite."""
  means: dict[str, float | None] = {}
  for name in METRICS:
    values = run.column(f"{kind}_{name}")
    finite = values[~np.isinf(values)]
    means[name] = float(finite.mean()) if finite.size else None
  infinite = np.isinf(run.column(f"{kind}_psnr"))
  return {**means, "infinite_psnr": int(infinite.sum())}


def _over_seeds(
  seeds: Sequence[dict], function: Callable[[list[float]], SupportsFloat]
) -> dict[str, float | None]:
  result: dict[str, float | None] = {}
  for name in METRICS:
    values = [means[name] for means in seeds]
    result[name] = None if None in values else float(function(values))
  result["infinite_psnr"] = sum(means["infinite_psnr"] for means in seeds)
  return result


def _over_images(columns: Iterable[np.ndarray]) -> np.ndarray:
  """Average columns, float [N], without images infinite in any of them."""
  stacked = np.stack(list(columns))
  return stacked[:, np.isfinite(stacked).all(axis=0)].mean(axis=0)


def _differences(
  runs: Sequence[Run], baseline: Sequence[Run]
) -> dict[str, Any] | None:
  """Subtract the baseline; None for the baseline, or without a shared seed."""
  others = {run.seed: run for run in baseline}
  pairs = [(run, others[run.seed]) for run in runs if run.seed in others]
  if not pairs or runs[0].row == baseline[0].row:
    return None
  result: dict[str, Any] = {"seeds": [run.seed for run, _ in pairs]}
  for name in _COMPARED:
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


def table_of(report: dict[str, Any]) -> Table:
  """Return the table: the composite, then a row of text for each row."""
  composite = ("composite", "", "", "", "", *_cells(report["composite"]))
  rows: list[tuple[str, ...]] = [(*composite, "", "")]
  for row in report["rows"]:
    model, difference = row["model"], row["difference"] or {}
    local = {"none": "–", "official": "official"}
    dynamics = model["global_dynamics"]
    rows.append(
      (
        row["row"],
        local.get(model["local_dynamics"], f"K = {model['neighbors']}"),
        "–" if dynamics == "none" else dynamics.replace("_", " "),
        f"{row['parameters']:,}",
        f"{row['steps']:,}",
        *_cells(row["means"], row["spread"]),
        *(_difference(difference.get(name), name) for name in _COMPARED),
      )
    )
  return Table(
    header=(
      *("row", "LD", "MGD", "parameters", "steps"),
      *(*_TITLES, "ΔPSNR", "ΔfMSE"),
    ),
    rows=tuple(rows),
    notes=tuple(_notes(report)),
    left=(0, 1, 2),
  )


def _cells(
  means: dict[str, Any], spread: dict[str, Any] | None = None
) -> list[str]:
  texts = []
  for name in METRICS:
    text = text_of(name, means[name])
    if spread and spread[name] is not None:
      text += f" ± {text_of(name, spread[name])}"
    texts.append(text)
  return texts


def _difference(difference: dict[str, float] | None, name: str) -> str:
  if difference is None:
    return "–"
  mean, low, high = (
    f"{difference[key]:+.{METRICS[name].digits}f}"
    for key in ("mean", "low", "high")
  )
  return f"{mean} [{low}, {high}]"


def _notes(report: dict[str, Any]) -> list[str]:
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


def write(report: dict[str, Any], workdir: pathlib.Path) -> list[pathlib.Path]:
  """Write ablation.md, .json and .png into `workdir`; return their paths."""
  paths = [workdir / f"ablation.{suffix}" for suffix in ("md", "json", "png")]
  write_text(paths[0], _markdown_of(report))
  write_text(paths[1], json.dumps(report, indent=2) + "\n")
  write_then_rename(paths[2], lambda path: visuals.draw_ablation(report, path))
  return paths


def _markdown_of(report: dict[str, Any]) -> str:
  parts = ["# Ablation", table_of(report).markdown()]
  if any(len(row["seeds"]) > 1 for row in report["rows"]):
    seeds = Table(
      header=("row", "seed", *_TITLES),
      rows=tuple(
        (row["row"], seed, *_cells(means))
        for row in report["rows"]
        for seed, means in row["seeds"].items()
      ),
      left=(0,),
    )
    parts += ["## Each seed", seeds.markdown()]
  return "\n\n".join(parts) + "\n"
