"""The batches of a run, on the mesh; its first examples, to look at."""

import dataclasses
import itertools
from collections.abc import Iterator

import grain
import jax
import numpy as np
from jax.sharding import Mesh

from hdnet_jax.config import Config
from hdnet_jax.data.examples import Example, Source
from hdnet_jax.data.pipeline import (
  ReadOptions,
  augment,
  open_source,
  training_batches,
)
from hdnet_jax.data.placement import make_layers
from hdnet_jax.devices import Batch, prefetch_to_device, replicated, split
from hdnet_jax.terminal import ProgressBar
from hdnet_jax.training.state import random_key
from hdnet_jax.training.step import composites_of_step


def run_batches(
  config: Config, source: Source, mesh: Mesh, start: int = 0, half_size: int = 0
) -> Iterator[Batch]:
  """Yield batches from number `start` on; before `half_size` at half size.

  Args:
    source: the training split at full size.
  """
  if start < half_size:
    data = config.data
    small = dataclasses.replace(data, image_size=data.image_size // 2)
    batches = _batches_on_mesh(config, open_source(small, "train"), mesh, start)
    yield from itertools.islice(batches, half_size - start)
    del batches  # and with it what was read ahead, or the cache
  yield from _batches_on_mesh(config, source, mesh, max(start, half_size))


def _batches_on_mesh(
  config: Config, source: Source, mesh: Mesh, start: int
) -> Iterator[Batch]:
  if config.data.cache == "device":
    return cached_batches(config, source, mesh, start)
  data = config.data
  process, processes = jax.process_index(), jax.process_count()
  reader = ReadOptions(data.threads, data.workers, process, processes)
  return prefetch_to_device(host_batches(config, source, reader, start), mesh)


def host_batches(
  config: Config, source: Source, reader: ReadOptions, start: int = 0
) -> Iterator[Example]:
  """Yield the reader's rows of every batch from number `start` on."""
  data = config.data
  return training_batches(
    source,
    config.batch_size,
    config.seed,
    reader,
    start,
    data.flip,
    data.crop,
    data.composites if data.makes_composites else None,
  )


def cached_batches(
  config: Config, source: Source, mesh: Mesh, start: int = 0
) -> Iterator[Batch]:
  """Yield batches gathered from a cache in the devices' memory.

  The cache holds `data.cache_variants` of each example, and is filled once.
  Photos become layers there; composites are made of them at every step.
  """
  examples = _read_all(config, source)
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
  for number in itertools.count(start):
    rows = [order[number * size + row] for row in range(size)]
    yield take(cache, np.array(rows, np.int32))


def _read_all(config: Config, source: Source) -> dict[str, np.ndarray]:
  """Return all variants of all examples, stacked."""
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
  examples = grain.MapDataset.range(total).map(read)
  examples = examples.to_iter_dataset(
    grain.ReadOptions(num_threads=data.threads)
  )
  stacked: dict[str, np.ndarray] = {}
  with ProgressBar("reading examples into memory", total) as bar:
    for place, example in enumerate(examples):
      for name, array in example.items():
        if name not in stacked:
          stacked[name] = np.empty((total, *np.shape(array)), array.dtype)
        stacked[name][place] = array
      bar.advance()
  return stacked


def first_examples(config: Config) -> Iterator[dict[str, np.ndarray]]:
  """Yield the examples of a run, in its order, from its first step on.

  Each has `composite` and `real`, uint8 [H, W, 3], and `mask`, uint8 0/1
  [H, W, 1]. They are of full size, also where the run begins at half of it.
  """
  source = open_source(config.data, "train")
  complete = jax.jit(composites_of_step(config.data))
  key = random_key(config)
  reader = ReadOptions(config.data.threads)
  for step, layers in enumerate(host_batches(config, source, reader)):
    batch = jax.device_get(complete(layers, key, step))
    for place in range(config.batch_size):
      yield {name: batch[name][place] for name in ("composite", "mask", "real")}
