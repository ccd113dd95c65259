"""Percentile bootstrap intervals of means over images.

They say how much a mean depends on the choice of images, not on the seed of the
training.
"""

from collections.abc import Iterable

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 0
CHUNK = 4_000_000  # images drawn at a time, which bounds the memory


def interval(values: np.ndarray) -> tuple[float, float]:
  """Return the 95 % interval of the mean of `values`, float [N], N >= 1."""
  ((low, high),) = intervals(values[:, None])
  return float(low), float(high)


def rounded(bounds: Iterable[float]) -> list[float]:
  """Round to ten digits: those behind them depend on the summation's order."""
  return [float(f"{bound:.10g}") for bound in bounds]


def intervals(columns: np.ndarray, chunk: int = CHUNK) -> np.ndarray:
  """Return the 95 % intervals of columns' means, float [N, M] to [M, 2].

  Means leave out NaN; the interval of a column of NaN alone is NaN. The
  resamples are drawn from a fixed seed.

  Args:
    chunk: images to draw at a time.
  """
  count = len(columns)
  rng = np.random.default_rng(_SEED)
  present = ~np.isnan(columns)
  filled = np.where(present, columns, 0.0)
  means = []
  step = max(chunk // count, 1)
  for first in range(0, RESAMPLES, step):
    size = min(step, RESAMPLES - first)
    # Count each image in each resample: all means are then one product.
    drawn = rng.integers(0, count, (size, count))
    drawn += count * np.arange(size)[:, None]
    times = np.bincount(drawn.ravel(), minlength=size * count)
    times = times.reshape(size, count).astype(np.float64)
    with np.errstate(invalid="ignore"):  # NaN where a resample has no value
      means.append(times @ filled / (times @ present))
  tail = (1 - LEVEL) / 2
  bounds = np.full((2, columns.shape[1]), np.nan)
  has_values = present.any(axis=0)
  bounds[:, has_values] = np.nanquantile(
    np.concatenate(means)[:, has_values], [tail, 1 - tail], axis=0
  )
  return bounds.T
