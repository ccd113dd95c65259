"""Training data in the devices' memory: a batch is a gather there.

For data that fits, and devices that wait for the host otherwise. Examples are
read once, at the start. Photos become layers then: each of a few variants of a
photo has its object placed anew. Composites are made at every step as ever.
"""

from collections.abc import Iterator

import grain
import jax
import numpy as np
from jax.sharding import Mesh

from hdnet_jax.config import Config
from hdnet_jax.data.augment import augment
from hdnet_jax.data.examples import Example, Source
from hdnet_jax.data.placement import make_layers
from hdnet_jax.devices import replicated, split
from hdnet_jax.terminal import ProgressBar


def cached_batches(
  source: Source, config: Config, mesh: Mesh, start: int = 0
) -> Iterator[dict[str, jax.Array]]:
  """An endless iterator over batches on the mesh, from number `start` on.

  Without augmentation their order is that of `training_batches`.

  Args:
    config: `data.cache_variants` of every example are kept.
  """
  examples = _read_all(source, config)
  place = replicated(mesh)
  cache = {
    name: jax.make_array_from_callback(
      array.shape, place, lambda index, array=array: array[index]
    )
    for name, array in examples.items()
  }
  take = jax.jit(
    lambda cache, rows: {name: array[rows] for name, array in cache.items()},
    out_shardings={
      name: split(mesh, array.ndim) for name, array in examples.items()
    },
  )
  count, size = len(examples["index"]), config.batch_size
  order = grain.MapDataset.range(count).seed(config.seed).shuffle().repeat()
  number = start
  while True:
    rows = [order[number * size + row] for row in range(size)]
    yield take(cache, np.array(rows, np.int32))
    number += 1


def _read_all(source: Source, config: Config) -> dict[str, np.ndarray]:
  """All variants of all examples, stacked; variants of one are apart."""
  data, count = config.data, len(source)

  def read(place: int) -> Example:
    example = source[place % count]
    rng = np.random.default_rng((config.seed, place))
    if data.flip or data.crop < 1:
      example = augment(example, rng, data.flip, data.crop)
    if data.makes_composites:
      example = make_layers(example, rng, data.composites)
    return example

  total = count * data.cache_variants
  dataset = grain.MapDataset.range(total).map(read)
  options = grain.ReadOptions(num_threads=data.threads)
  stacked: dict[str, np.ndarray] = {}
  with ProgressBar("reading examples into memory", total) as bar:
    for place, example in enumerate(dataset.to_iter_dataset(options)):
      for name, array in example.items():
        if name not in stacked:
          stacked[name] = np.empty((total, *np.shape(array)), array.dtype)
        stacked[name][place] = array
      bar.advance()
  return stacked
