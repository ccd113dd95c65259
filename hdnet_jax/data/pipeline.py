"""From a source to host batches of uint8, by Grain.

Batches are Examples with a leading batch axis. Training batches come from an
endless shuffled stream whose place is a small JSON-able dict; evaluation
batches all have one shape, the last one padded and marked.
"""

from collections.abc import Iterator

import grain
import numpy as np

from hdnet_jax.config import DataConfig
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.photos import EmbeddedPhotos, PhotoFolder
from hdnet_jax.data.records import Example, Source
from hdnet_jax.errors import UserError


def open_source(config: DataConfig, split: str) -> Source:
  """The split of the data that `config` names.

  Raises:
    UserError: where the data is not there, with what to do about it.
  """
  if config.source == "embedded":
    return EmbeddedPhotos(split, config.image_size)
  if config.source == "photos":
    return PhotoFolder(config.root, split, config.image_size)
  if config.source == "iharmony4":
    return Iharmony4Folder(config.root, split, config.image_size)
  raise UserError(
    f"config.data.source={config.source!r} is none of embedded, photos and "
    "iharmony4"
  )


def training_batches(
  source: Source,
  batch_size: int,
  seed: int,
  threads: int,
  process_index: int = 0,
  process_count: int = 1,
) -> grain.DatasetIterator:
  """An endless iterator over this process's part of every batch.

  Each pass visits every example once, in an order drawn from the seed; a batch
  may hold the end of one pass and the start of the next. `get_state` and
  `set_state` carry the place in the stream.

  Args:
    batch_size: of the whole batch, over all processes.
  """
  dataset = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
  dataset = dataset[process_index::process_count]
  dataset = dataset.batch(batch_size // process_count, drop_remainder=True)
  return iter(dataset.to_iter_dataset(_read_options(threads)))


def evaluation_batches(
  source: Source, batch_size: int, threads: int
) -> Iterator[Example]:
  """Every example once, in order, in batches of one shape.

  Batches have two more entries than Examples: `valid` bool [B], false where
  the last batch is padded; and, where the device has to make the composite,
  `donor_real` and `donor_mask`: another example, whose object lends its
  colours. The donor depends on the example alone, not on its batch.
  """
  count = len(source)
  padded = -(-count // batch_size) * batch_size

  def read(place: int) -> Example:
    index = min(place, count - 1)
    example = dict(source[index], valid=np.bool_(place < count))
    if "composite" not in example:
      donor = source[(index + count // 2) % count]
      example |= {"donor_real": donor["real"], "donor_mask": donor["mask"]}
    return example

  dataset = grain.MapDataset.range(padded).map(read).batch(batch_size)
  return iter(dataset.to_iter_dataset(_read_options(threads)))


def _read_options(threads: int) -> grain.ReadOptions:
  return grain.ReadOptions(
    num_threads=threads, prefetch_buffer_size=2 * threads
  )
