"""From a source to host batches of uint8, by Grain.

Batches are Examples with a leading batch axis. The training stream is endless
and random access: batch number i depends on the seed and on i alone, not on
who reads it, so that the step is the place in the data. A process reads its
rows of every batch: rows p * b to (p + 1) * b of process p.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import grain
import numpy as np

from hdnet_jax.config import CompositesConfig, DataConfig
from hdnet_jax.data.augment import augment
from hdnet_jax.data.examples import Example, Source
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.photos import EmbeddedPhotos, PhotoFolder
from hdnet_jax.data.placement import make_layers
from hdnet_jax.data.prepared import PreparedIharmony4
from hdnet_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Reader:
  """Who reads: this process's part of every batch, and with how many hands."""

  threads: int = 1  # in each worker
  workers: int = 0  # processes; 0 is this one
  process: int = 0  # of `processes` that train together
  processes: int = 1


def open_source(config: DataConfig, split: str) -> Source:
  """The split of the data that `config` names.

  Raises:
    UserError: where the data is not there, with what to do about it.
  """
  size = config.image_size
  if config.source == "embedded":
    return EmbeddedPhotos(split, 2 * size)
  if config.source == "photos":
    return PhotoFolder(config.root, split, 2 * size)
  if config.source == "folder":
    return Iharmony4Folder(config.root, split, size, config.subsets)
  if config.source == "iharmony4":
    return PreparedIharmony4(config.root, split, size, config.subsets)
  raise UserError(
    f"config.data.source={config.source!r} is none of embedded, photos, folder "
    "and iharmony4"
  )


def training_batches(
  source: Source,
  batch_size: int,
  seed: int,
  reader: Reader,
  start: int = 0,
  flip: bool = False,
  crop: float = 1.0,
  composites: CompositesConfig | None = None,
) -> Iterator[Example]:
  """An endless iterator over this process's rows of every batch.

  Each pass visits every example once, in an order drawn from the seed; a batch
  may hold the end of one pass and the start of the next.

  Args:
    batch_size: of the whole batch, over all processes.
    start: number of the first batch.
    flip, crop: see `augment`.
    composites: of a source of photos, how layers are made of them; they are
      half as large. None gives examples as they are.
  """
  dataset = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
  if flip or crop < 1:
    dataset = dataset.random_map(
      lambda example, rng: augment(example, rng, flip, crop)
    )
  if composites is not None:
    dataset = dataset.random_map(
      lambda example, rng: make_layers(example, rng, composites)
    )
  return _read(dataset, batch_size, reader, start)


def evaluation_batches(
  source: Source,
  indices: Sequence[int],
  batch_size: int,
  reader: Reader,
  composites: CompositesConfig | None = None,
) -> Iterator[Example]:
  """The examples at `indices`, in order, in batches of one shape.

  The last batch is filled up with its last example. Photos become layers, and
  their batches have two more entries, `donor_object` and `donor_alpha`: another
  example, whose object lends its colours. Layers and donor depend on the
  example alone, not on its batch.

  Args:
    composites: as in `training_batches`; examples that have composites are
      left alone.
  """
  count, half = len(indices), len(source) // 2
  padded = -(-count // batch_size) * batch_size

  def read(place: int) -> Example:
    index = int(indices[min(place, count - 1)])
    example = dict(source[index])
    if composites is None or "composite" in example:
      return example
    donor = layers(source[(index + half) % len(source)])
    return layers(example) | {
      "donor_object": donor["object"],
      "donor_alpha": donor["alpha"],
    }

  def layers(example: Example) -> Example:
    rng = np.random.default_rng(int(example["index"]))
    return make_layers(example, rng, composites)

  if not count:
    return iter(())
  return _read(grain.MapDataset.range(padded).map(read), batch_size, reader)


def _read(
  examples: grain.MapDataset, batch_size: int, reader: Reader, start: int = 0
) -> Iterator[Example]:
  """This process's rows of batch `start` and those after it, read ahead."""
  rows = batch_size // reader.processes
  batches = examples.batch(rows, drop_remainder=True)
  batches = batches[
    start * reader.processes + reader.process :: reader.processes
  ]
  dataset = batches.to_iter_dataset(
    grain.ReadOptions(
      num_threads=reader.threads, prefetch_buffer_size=2 * reader.threads
    )
  )
  if reader.workers:
    # Worker w reads batches w, w + n, ...; they come back in order.
    dataset = dataset.mp_prefetch(
      grain.MultiprocessingOptions(
        num_workers=reader.workers, per_worker_buffer_size=2
      )
    )
  return iter(dataset)
