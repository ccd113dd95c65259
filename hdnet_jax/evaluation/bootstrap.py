"""How sure a mean is: percentile bootstrap intervals over images.

They tell how much a mean depends on which images were evaluated; not how much
another training run, with another seed, would differ.
"""

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 0
_CHUNK = 4_000_000  # indices drawn at a time: memory does not grow


def interval(values: np.ndarray) -> tuple[float, float]:
  """The 95 % interval of the mean of `values`, float [N], N of 1 or more.

  The same values give the same interval: resamples are drawn from a fixed seed.
  """
  count = len(values)
  rng = np.random.default_rng(_SEED)
  means = np.empty(RESAMPLES)
  step = max(_CHUNK // count, 1)
  for first in range(0, RESAMPLES, step):
    size = min(step, RESAMPLES - first)
    drawn = rng.integers(0, count, (size, count))
    means[first : first + size] = values[drawn].mean(axis=1)
  tail = (1 - LEVEL) / 2
  low, high = np.quantile(means, [tail, 1 - tail])
  return float(low), float(high)
