"""How sure a mean is: percentile bootstrap intervals over images.

They tell how much a mean depends on which images were evaluated; not how much
another training run, with another seed, would differ.
"""

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 0
_CHUNK = 4_000_000  # images drawn at a time: memory does not grow


def interval(values: np.ndarray) -> tuple[float, float]:
  """The 95 % interval of the mean of `values`, float [N], N of 1 or more."""
  ((low, high),) = intervals(values[:, None])
  return float(low), float(high)


def intervals(columns: np.ndarray) -> np.ndarray:
  """The 95 % intervals of the means of columns, float [N, M] to [M, 2].

  NaN stands for what an image has not; means leave it out, and a column of
  nothing else has NaN for an interval. The same values give the same intervals:
  resamples are drawn from a fixed seed.
  """
  count = len(columns)
  rng = np.random.default_rng(_SEED)
  present = ~np.isnan(columns)
  filled = np.where(present, columns, 0.0)
  means = []
  step = max(_CHUNK // count, 1)
  for first in range(0, RESAMPLES, step):
    size = min(step, RESAMPLES - first)
    # How often each resample holds each image; then a mean is a product.
    drawn = rng.integers(0, count, (size, count))
    drawn += count * np.arange(size)[:, None]
    times = np.bincount(drawn.ravel(), minlength=size * count)
    times = times.reshape(size, count).astype(np.float64)
    with np.errstate(invalid="ignore"):  # NaN where a resample has none at all
      means.append(times @ filled / (times @ present))
  tail = (1 - LEVEL) / 2
  bounds = np.full((2, columns.shape[1]), np.nan)
  some = present.any(axis=0)
  bounds[:, some] = np.nanquantile(
    np.concatenate(means)[:, some], [tail, 1 - tail], axis=0
  )
  return bounds.T
