"""The scorecard: what weights do to composites that matter.

Its rows are genuine composites, by subset; test photos whose object was moved,
or recoloured in its place, by a change that training does not use; and photos
with which nothing is wrong. `docs/evaluation.md` explains the columns.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hdnet_jax import devices
from hdnet_jax.config import (
  CompositesConfig,
  Config,
  DataConfig,
  ModelConfig,
  only,
)
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.evaluation import bootstrap, evaluator, tables
from hdnet_jax.evaluation.metrics import SHIFTS
from hdnet_jax.model.hdnet import HDNet

# What is done to the test photos; half of what is moved has hard edges.
PHOTOS: Mapping[str, CompositesConfig] = {
  "moved": only("distribution", moved=1.0, hard=0.5),
  "in place": only("distribution", moved=0.0),
  "untouched": only("nothing", moved=0.0),
}

_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def scorecard(
  params: Mapping[str, Any],
  model: ModelConfig,
  image_size: int,
  genuine: str,
  photos: str,
  batch_size: int = 12,
  on_row: Callable[[dict], None] = lambda row: None,
) -> list[dict[str, Any]]:
  """Evaluate weights on every row; see `summary` for what a row has.

  Args:
    params: the weights, NumPy arrays of `model`.
    image_size: the network's.
    genuine: a folder in iHarmony4's layout, or "" for none; its test split.
    photos: a folder of photos, or "" for none; its test split.
    on_row: called with each row as it comes.
  """
  mesh = devices.make_mesh(Config().mesh, jax.devices()[:1])
  params = jax.device_put(params, devices.replicated(mesh))
  method = evaluator.network(HDNet(**dataclasses.asdict(model)))
  found = []

  def evaluate(data: DataConfig) -> list[tables.Row]:
    config = Config(model=model, eval_batch_size=batch_size, data=data)
    source = open_source(data, "test")
    return evaluator.Evaluator(config, method, mesh).rows(params, source)

  def tell(name: str, rows: Sequence[tables.Row]) -> None:
    found.append({"row": name, **summary(rows)})
    on_row(found[-1])

  if genuine:
    rows = evaluate(
      DataConfig(source="folder", root=genuine, image_size=image_size)
    )
    tell("genuine", rows)
    for subset, part in tables.group(rows, lambda row: row["subset"]).items():
      tell(f"genuine, {subset}", part)
  if photos:
    for name, composites in PHOTOS.items():
      rows = evaluate(
        DataConfig(
          source="photos",
          root=photos,
          image_size=image_size,
          evaluation_composites=composites,
        )
      )
      tell(name, rows)
  return found


def summary(rows: Sequence[tables.Row]) -> dict[str, Any]:
  """What a row of the scorecard says.

  count                     images
  psnr, fmse                means, [before, after]; PSNR of equal images is
                            left out, None where all are
  gain, interval            of PSNR: the mean difference and its 95 % interval
  better                    share of the images whose MSE falls
  brightness, chroma        [slope, correlation] of the object's mean shift,
                            made against wanted
  """
  column = {
    name: np.array([row[name] for row in rows])
    for name in tables.COLUMNS
    if name not in tables.TEXT
  }

  def mean(values: np.ndarray) -> float | None:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None

  result: dict[str, Any] = {"count": len(rows)}
  for name in ("psnr", "fmse"):
    result[name] = [mean(column[f"{kind}_{name}"]) for kind in tables.KINDS]
  before, after = (column[f"{kind}_psnr"] for kind in tables.KINDS)
  both = np.isfinite(before) & np.isfinite(after)
  gain = after[both] - before[both]
  result["gain"] = mean(gain)
  result["interval"] = list(bootstrap.interval(gain)) if gain.size else None
  result["better"] = float(
    np.mean(column["harmonized_mse"] < column["composite_mse"])
  )
  wrong, left = (
    np.stack([column[f"{kind}_{name}"] for name in SHIFTS], axis=1)
    for kind in tables.KINDS
  )
  wanted, made = -wrong, left - wrong
  result["brightness"] = fit(wanted @ _LUMA, made @ _LUMA)
  result["chroma"] = fit(
    (wanted @ _CHROMA.T).ravel(), (made @ _CHROMA.T).ravel()
  )
  return result


def fit(wanted: np.ndarray, made: np.ndarray) -> list[float] | None:
  """Slope through 0 by least squares, and correlation; None for no shift."""
  if wanted.size < 2 or not np.any(wanted) or not np.any(made):
    return None
  slope = float(wanted @ made / (wanted @ wanted))
  return [slope, float(np.corrcoef(wanted, made)[0, 1])]


HEADER = (
  *("images", "count", "PSNR", "gain", "fMSE", "better"),
  *("brightness", "chroma"),
)


def table_of(name: str, rows: Sequence[Mapping[str, Any]]) -> tables.Table:
  """The scorecard of the weights `name`."""
  return tables.Table(
    title=f"Scorecard of {name}",
    header=HEADER,
    rows=tuple(map(cells, rows)),
    note="fMSE is of the foreground; brightness and chroma: slope of the "
    "object's mean shift, made against wanted (correlation); [low, high]: 95 % "
    "bootstrap interval over images",
  )


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
  """A row as text, under `HEADER`."""

  def pair(values, digits):
    return " → ".join(
      "same" if value is None else f"{value:.{digits}f}" for value in values
    )

  def fitted(values):
    return "" if values is None else f"{values[0]:.2f} ({values[1]:.2f})"

  gain = ""
  if row["gain"] is not None:
    low, high = row["interval"]
    gain = f"{row['gain']:+.2f} [{low:.2f}, {high:.2f}]"
  return (
    row["row"],
    str(row["count"]),
    pair(row["psnr"], 2),
    gain,
    pair(row["fmse"], 0),
    f"{100 * row['better']:.0f} %",
    fitted(row["brightness"]),
    fitted(row["chroma"]),
  )
