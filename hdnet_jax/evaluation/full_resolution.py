"""The protocol `fullres`: images at their own size, as a user gets them.

The metrics are those of the protocol `standard`, at that size. They are
computed on the host, image by image, because jitted code would be compiled anew
for every size.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

from hdnet_jax.cpus import count_cpus
from hdnet_jax.data.examples import (
  Example,
  Source,
  gray,
  mask_pixels,
  open_image,
)
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import metrics
from hdnet_jax.evaluation.metrics import WINDOW
from hdnet_jax.evaluation.tables import Row
from hdnet_jax.evaluation.visuals import Comparison
from hdnet_jax.images.transforms import resize_image, resize_mask

NAME = "fullres"
# Maps a composite, uint8 [H, W, 3], and its mask, uint8 [H, W, 1], to the
# harmonized image, uint8 [H, W, 3].
Harmonize = Callable[[np.ndarray, np.ndarray], np.ndarray]

_BAND = 200_000  # pixels at a time: SSIM takes some 400 bytes for each
_MOST_THREADS = 8


class FullSize(Iharmony4Folder):
  """A split of the published folder, at the images' own sizes.

  Raises:
    UserError: as its parent does; and for an example whose images differ in
      size or are too small for SSIM.
  """

  def __init__(
    self, root: str | pathlib.Path, split: str, subsets: Sequence[str] = ()
  ):
    super().__init__(root, split, image_size=0, subsets=subsets)

  def __getitem__(self, index: int) -> Example:
    triplet = self.triplets[index]
    names = (triplet.composite, triplet.real, triplet.mask)
    paths = [self._root / name for name in names]
    images = [open_image(path) for path in paths]
    sizes = [f"{image.width}x{image.height}" for image in images]
    for path, size in zip(paths, sizes, strict=True):
      if size != sizes[0]:
        raise UserError(
          f"{path} is {size}, but {paths[0]} is {sizes[0]}; replace one of "
          "them, or take the composite off its list"
        )
    if min(images[0].size) < WINDOW:
      raise UserError(
        f"{paths[0]} is {sizes[0]}, and SSIM needs {WINDOW} pixels a side; "
        "take it off its list"
      )
    composite, real, mask = images
    return {
      "composite": np.asarray(composite.convert("RGB")),
      "real": np.asarray(real.convert("RGB")),
      "mask": mask_pixels(gray(mask)),
      "index": np.array(index, np.int32),
    }


class FullSizeEvaluator:
  """Evaluates parameters at the images' own sizes, as `Evaluator` does.

  Args:
    make: maps parameters to the function that harmonizes.
    shown: side of the square pictures, in pixels.
  """

  protocols = (NAME,)
  image_size = None  # each image has its own

  def __init__(self, make: Callable[[Any], Harmonize], shown: int = 256):
    self._make, self._shown = make, shown

  def rows(
    self,
    params: Any,
    source: Source,
    first: int = 0,
    on_rows: Callable[[list[Row]], None] = lambda rows: None,
  ) -> list[Row]:
    """Return a row for each image, from example `first` on.

    Args:
      source: examples of any size with a `composite`, such as FullSize.
      on_rows: called with each image's row, in a list.
    """
    harmonize = self._make(params)
    rows: list[Row] = []
    for index in range(first, len(source)):
      example = source[index]
      harmonized = harmonize(example["composite"], example["mask"])
      row: Row = {
        "name": source.name(index),
        "subset": source.subset(index),
        "protocol": NAME,
        "ratio": float(example["mask"].mean()),
        **_metrics_of("composite", example["composite"], example),
        **_metrics_of("harmonized", harmonized, example),
      }
      rows.append(row)
      on_rows([row])
    return rows

  def comparisons(
    self, params: Any, source: Source, titles: Mapping[int, str]
  ) -> list[Comparison]:
    """Return the images of examples, resized to the squares of a grid."""
    harmonize = self._make(params)
    comparisons = []
    for index, title in titles.items():
      example = source[index]
      images = {name: example[name] for name in ("composite", "real")}
      images["harmonized"] = harmonize(example["composite"], example["mask"])
      small = {
        name: np.asarray(resize_image(Image.fromarray(image), self._shown))
        for name, image in images.items()
      }
      mask = resize_mask(Image.fromarray(example["mask"][..., 0]), self._shown)
      small["mask"] = np.asarray(mask)[..., None]
      name = f"{title} {source.name(index)}".strip()
      comparisons.append(Comparison(name, **small))
    return comparisons


def _metrics_of(
  kind: str, image: np.ndarray, example: Example
) -> dict[str, float]:
  mask = example["mask"]
  sums = pixel_sums(image, example["real"], mask)
  area = np.array([np.count_nonzero(mask)])
  columns = metrics.from_sums(sums, area, width=image.shape[1])
  return {f"{kind}_{name}": float(value) for name, (value,) in columns.items()}


def pixel_sums(
  image: np.ndarray, truth: np.ndarray, mask: np.ndarray, band: int = _BAND
) -> metrics.Sums:
  """Compute `metrics.pixel_sums` on the host, for a batch of one image.

  Args:
    image, truth: uint8 [H, W, 3], 7 pixels a side or more.
    mask: uint8 [H, W, 1], 0/1.
    band: pixels at a time, which bounds the memory.
  """
  height, width, _ = image.shape

  def differences(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    difference = image[rows].astype(np.int32) - truth[rows]
    square = np.square(difference)
    return (
      square.sum((1, 2), np.int64),
      (square * mask[rows]).sum((1, 2), np.int64),
      (difference * mask[rows]).sum(1, np.int64),
    )

  def similarity(rows: slice) -> np.ndarray:
    windows = slice(rows.start, rows.stop + WINDOW - 1)  # that begin in `rows`
    of_windows = structural_similarity(
      image[windows],
      truth[windows],
      win_size=WINDOW,
      data_range=metrics.PEAK,
      channel_axis=-1,
      full=True,
    )
    local = np.asarray(of_windows[1])
    whole = slice(WINDOW // 2, -(WINDOW // 2))  # windows inside the image
    return local[whole, whole].sum(axis=(1, 2))

  # Joined in order: the sums do not depend on the threads.
  threads = min(count_cpus(), _MOST_THREADS)
  with ThreadPoolExecutor(threads) as pool:
    of_slices = pool.map(differences, _row_slices(height, width, band))
    similarities = pool.map(
      similarity, _row_slices(height - WINDOW + 1, width, band)
    )
    of_all, of_foreground, shifts = zip(*of_slices, strict=True)
    return metrics.Sums(
      squared=np.concatenate(of_all)[None, :, None],
      foreground=np.concatenate(of_foreground)[None, :, None],
      shift=np.concatenate(shifts)[None],
      ssim=np.concatenate(list(similarities))[None],
    )


def _row_slices(height: int, width: int, band: int) -> Iterator[slice]:
  rows = max(band // width, 1)
  for top in range(0, height, rows):
    yield slice(top, min(top + rows, height))
