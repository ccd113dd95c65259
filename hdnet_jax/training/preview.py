"""What a run's network is taught with: its first examples, to look at."""

from collections.abc import Iterator

import jax
import numpy as np

from hdnet_jax.config import Config
from hdnet_jax.data.pipeline import ReadOptions, open_source, training_batches
from hdnet_jax.training.state import random_key
from hdnet_jax.training.step import composites_of_step


def first_examples(config: Config) -> Iterator[dict[str, np.ndarray]]:
  """Yield the examples of a run, in its order, from its first step on.

  Each has `composite` and `real`, uint8 [H, W, 3], and `mask`, uint8 0/1
  [H, W, 1]; they are of full size also where the run begins at half of it.
  """
  data = config.data
  batches = training_batches(
    open_source(data, "train"),
    config.batch_size,
    config.seed,
    ReadOptions(data.threads),
    flip=data.flip,
    crop=data.crop,
    composites=data.composites if data.makes_composites else None,
  )
  make = jax.jit(composites_of_step(data))
  key = random_key(config)
  for step, batch in enumerate(batches):
    made = jax.device_get(make(batch, key, step))
    for place in range(config.batch_size):
      yield {name: made[name][place] for name in ("composite", "mask", "real")}
