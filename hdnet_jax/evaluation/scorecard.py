"""The scorecard: weights on composites that training does not make.

Its rows are genuine composites by subset, test photos whose object was moved
or recoloured in its place, and photos with which nothing is wrong.
`docs/evaluation.md` explains the columns.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hdnet_jax import devices
from hdnet_jax.config import (
  CompositesConfig,
  Config,
  DataConfig,
  ModelConfig,
  SourceName,
  only,
)
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.evaluation import bootstrap, evaluator, tables
from hdnet_jax.evaluation.metrics import SHIFTS
from hdnet_jax.terminal import Table

# By row, how composites of the test photos are made.
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
    on_row: called with each row as soon as it is known.
  """
  mesh = devices.make_mesh(Config().mesh, jax.devices()[:1])
  params = jax.device_put(params, devices.replicated(mesh))
  method = evaluator.network(model)
  card = []

  def evaluate(
    source: SourceName, root: str, **settings: Any
  ) -> list[tables.Row]:
    data = DataConfig(
      source=source, root=root, image_size=image_size, **settings
    )
    config = Config(model=model, eval_batch_size=batch_size, data=data)
    test = open_source(data, "test")
    return evaluator.Evaluator(config, method, mesh).rows(params, test)

  def add(name: str, rows: Sequence[tables.Row]) -> None:
    card.append({"row": name, **summary(rows)})
    on_row(card[-1])

  if genuine:
    rows = evaluate("folder", genuine)
    add("genuine", rows)
    subsets = tables.group(rows, lambda row: row["subset"])
    for subset, part in subsets.items():
      add(f"genuine, {subset}", part)
  if photos:
    for name, composites in PHOTOS.items():
      add(name, evaluate("photos", photos, evaluation_composites=composites))
  return card


def summary(rows: Sequence[tables.Row]) -> dict[str, Any]:
  """Return the numbers of a row of the scorecard.

  count                     images
  psnr, fmse                means, [before, after]; PSNR of equal images is
                            left out, None where all are
  gain, interval            of PSNR: the mean difference and its 95 % interval
  better                    share of the images whose MSE falls
  brightness, chroma        [slope, correlation] of the object's mean shift:
                            the one made against the one to the truth
  """

  def both(name: str) -> list[np.ndarray]:
    """Return a metric before and after."""
    return [
      np.array([row[f"{kind}_{name}"] for row in rows]) for kind in tables.KINDS
    ]

  def mean(column: np.ndarray) -> float | None:
    finite = column[np.isfinite(column)]
    return float(finite.mean()) if finite.size else None

  result: dict[str, Any] = {"count": len(rows)}
  for name in ("psnr", "fmse"):
    result[name] = [mean(column) for column in both(name)]
  before, after = both("psnr")
  finite = np.isfinite(before) & np.isfinite(after)
  gain = after[finite] - before[finite]
  result["gain"] = mean(gain)
  result["interval"] = list(bootstrap.interval(gain)) if gain.size else None
  before, after = both("mse")
  result["better"] = float(np.mean(after < before))
  before, after = np.stack([both(name) for name in SHIFTS], axis=-1)
  target, change = -before, after - before
  result["brightness"] = _fit(target @ _LUMA, change @ _LUMA)
  result["chroma"] = _fit(
    (target @ _CHROMA.T).ravel(), (change @ _CHROMA.T).ravel()
  )
  return result


def _fit(target: np.ndarray, change: np.ndarray) -> list[float] | None:
  """Return the slope through 0 and the correlation; None without a shift."""
  if target.size < 2 or not np.any(target) or not np.any(change):
    return None
  slope = float(target @ change / (target @ target))
  return [slope, float(np.corrcoef(target, change)[0, 1])]


def table_of(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
  """Return the scorecard of the weights `name`."""
  return Table(
    title=f"Scorecard of {name}",
    header=(
      *("images", "count", "PSNR", "gain", "fMSE", "better"),
      *("brightness", "chroma"),
    ),
    rows=tuple(map(cells, rows)),
    notes=(
      "fMSE is of the foreground; brightness and chroma: slope of the object's "
      "mean shift, made against wanted (correlation); [low, high]: 95 % "
      "bootstrap interval over images",
    ),
  )


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
  """Return a row of the table."""

  def pair(numbers: Iterable[float | None], digits: int) -> str:
    return " → ".join(
      "same" if number is None else f"{number:.{digits}f}" for number in numbers
    )

  def slope_of(line: Sequence[float] | None) -> str:
    return "" if line is None else f"{line[0]:.2f} ({line[1]:.2f})"

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
    slope_of(row["brightness"]),
    slope_of(row["chroma"]),
  )
