"""Read a source into augmented batches of uint8 on the host, with Grain.

Batches are Examples with a leading batch axis. The training stream is endless
and random access: batch number i depends on the seed and on i alone. With
b rows per process, process p reads rows p * b to (p + 1) * b of every batch.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import grain
import numpy as np
from PIL import Image

from hdnet_jax.config import CompositesConfig, DataConfig
from hdnet_jax.data.examples import Example, Source
from hdnet_jax.data.iharmony4 import Iharmony4Folder, PreparedIharmony4
from hdnet_jax.data.photos import EmbeddedPhotos, PhotoFolder
from hdnet_jax.data.placement import make_layers
from hdnet_jax.errors import UserError

_TRIES = 10  # crops drawn before the whole image is taken
_ASPECT = 4 / 3  # of a crop, at most, either way
_KEPT = 0.25  # of the object's pixels that a crop must hold
_RESAMPLING = {
  "composite": Image.Resampling.BILINEAR,
  "real": Image.Resampling.BILINEAR,
  "mask": Image.Resampling.NEAREST,
}


@dataclasses.dataclass(frozen=True)
class ReadOptions:
  """This process's part of every batch, and the threads that read it."""

  threads: int = 1  # in each worker
  workers: int = 0  # processes; 0 is this one
  process: int = 0  # of `processes` that train together
  processes: int = 1


def open_source(config: DataConfig, split: str) -> Source:
  """Open a split of the data that `config` names.

  Raises:
    UserError: if the data is not there, with what to do about it.
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
  options: ReadOptions,
  start: int = 0,
  flip: bool = False,
  crop: float = 1.0,
  composites: CompositesConfig | None = None,
) -> Iterator[Example]:
  """Iterate without end over this process's rows of every batch.

  Each pass visits every example once, in an order drawn from the seed. A batch
  may hold the end of a pass and the start of the next.

  Args:
    batch_size: of the whole batch, over all processes.
    start: number of the first batch.
    flip, crop: see `augment`.
    composites: how photos become layers, which are half as large; None keeps
      examples as they are.
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
  return _read(dataset, batch_size, options, start)


def evaluation_batches(
  source: Source,
  indices: Sequence[int] | np.ndarray,
  batch_size: int,
  options: ReadOptions,
  composites: CompositesConfig | None = None,
) -> Iterator[Example]:
  """Iterate over the examples at `indices`, in batches of one shape.

  The last batch is padded with its last example. Photos become layers, with a
  second example as `donor_object` and `donor_alpha`, whose object lends its
  colours. Layers and donor depend on the example alone, not on its batch.

  Args:
    composites: as in `training_batches`; examples with a composite are kept as
      they are.
  """
  count, half = len(indices), len(source) // 2
  padded = -(-count // batch_size) * batch_size

  def read(place: int) -> Example:
    index = int(indices[min(place, count - 1)])
    example = dict(source[index])
    if composites is None or "composite" in example:
      return example
    donor = layers(source[(index + half) % len(source)], composites)
    return layers(example, composites) | {
      "donor_object": donor["object"],
      "donor_alpha": donor["alpha"],
    }

  def layers(example: Example, config: CompositesConfig) -> Example:
    rng = np.random.default_rng(int(example["index"]))
    return make_layers(example, rng, config)

  if not count:
    return iter(())
  return _read(grain.MapDataset.range(padded).map(read), batch_size, options)


def augment(
  example: Example, rng: np.random.Generator, flip: bool, crop: float
) -> Example:
  """Flip and crop composite, mask and real of an example together at random.

  Args:
    flip: whether half of the examples are mirrored left to right.
    crop: the least share of the area that a crop keeps; 1 is no crop. A crop
      holds a quarter of the object or more, and is resized to full size.
  """
  images = {name: example[name] for name in example.keys() & _RESAMPLING}
  if flip and rng.random() < 0.5:
    images = {name: image[:, ::-1] for name, image in images.items()}
  box = _draw_box(images["mask"], rng, crop) if crop < 1 else None
  if box is not None:
    images = {name: _crop(name, images[name], box) for name in images}
  return {
    name: np.ascontiguousarray(images[name]) if name in images else value
    for name, value in example.items()
  }


def _draw_box(
  mask: np.ndarray, rng: np.random.Generator, crop: float
) -> tuple[int, int, int, int] | None:
  """Draw left, top, right and bottom; None if no crop holds enough object."""
  height, width = mask.shape[:2]
  for _ in range(_TRIES):
    area = rng.uniform(crop, 1) * height * width
    aspect = math.exp(rng.uniform(-math.log(_ASPECT), math.log(_ASPECT)))
    w = min(max(round(math.sqrt(area * aspect)), 1), width)
    h = min(max(round(math.sqrt(area / aspect)), 1), height)
    top = int(rng.integers(height - h + 1))
    left = int(rng.integers(width - w + 1))
    inside = mask[top : top + h, left : left + w].sum()
    if inside and inside >= _KEPT * mask.sum():
      return left, top, left + w, top + h
  return None


def _crop(name: str, image: np.ndarray, box: tuple) -> np.ndarray:
  height, width, channels = image.shape
  picture = Image.fromarray(image[..., 0] if channels == 1 else image)
  picture = picture.resize((width, height), _RESAMPLING[name], box)
  return np.asarray(picture).reshape(image.shape)


def _read(
  examples: grain.MapDataset,
  batch_size: int,
  options: ReadOptions,
  start: int = 0,
) -> Iterator[Example]:
  """Read ahead this process's rows of the batches from number `start` on."""
  rows = batch_size // options.processes
  batches = examples.batch(rows, drop_remainder=True)
  batches = batches[
    start * options.processes + options.process :: options.processes
  ]
  dataset = batches.to_iter_dataset(
    grain.ReadOptions(
      num_threads=options.threads, prefetch_buffer_size=2 * options.threads
    )
  )
  if options.workers:
    # Of n workers, worker w reads batches w, w + n, ...; the order is kept.
    dataset = dataset.mp_prefetch(
      grain.MultiprocessingOptions(
        num_workers=options.workers, per_worker_buffer_size=2
      )
    )
  return iter(dataset)
