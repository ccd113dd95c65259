"""A change of colours carried from a small image to the large one.

The fast guided filter (He and Sun 2015; He et al. 2013) on the change that the
network made: around every pixel of the small image it is fitted by an affine
map of the colour there, and the maps are applied to the large image's own
pixels. So no detail is blurred, none is invented, and changes end at edges.

Two things differ from the published filter. Only the object's pixels count, so
what surrounds it does not leak in. And where the colours of a window vary too
little to tell a map, it is that of the whole object, not a constant.

Images are [height, width, channels], float 0 to 1 where they are small and
uint8 where they are large; a map is what `fit` says.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

# Half of a window's side, in pixels of the small image. Smaller windows follow
# a perfect change better (1 pixel: +0.5 dB) and a network's real one worse
# (-0.1 dB), for they carry its noise along.
RADIUS = 4
# A map is trusted where colours vary by more than this deviation, of 0 to 1: a
# window's where it is above noise and the texture that the small image lost;
# the object's, which is of many more pixels, from a few levels on.
LOCAL_EPSILON = 0.04**2
OBJECT_EPSILON = 0.01**2

# Pixels of the large image at a time: their planes stay in the cache.
_BAND = 200_000
_MOST_THREADS = 8


def fit(
  image: np.ndarray,
  change: np.ndarray,
  weights: np.ndarray,
  radius: int = RADIUS,
  local_epsilon: float = LOCAL_EPSILON,
  object_epsilon: float = OBJECT_EPSILON,
) -> np.ndarray:
  """Maps of colour to change, one a pixel, float32 [3, 4, h, w].

  `maps[c, :3]` times the colour plus `maps[c, 3]` is the change of channel c.
  There are maps everywhere: outside of the object they are the nearest ones.

  Args:
    image: float [h, w, 3], 0 to 1.
    change: what is to be added to it, float [h, w, 3].
    weights: how much each pixel tells of the object, float [h, w], 0 or more;
      all zeros make maps of no change.
  """
  image, change = np.asarray(image, float), np.asarray(change, float)
  weights = np.asarray(weights, float)[..., None]
  total = weights.sum()
  if not total:
    return np.zeros((3, 4, *image.shape[:2]), np.float32)

  means = (weights * _moments(image, change)).sum(axis=(0, 1)) / total
  whole = _ridge(means, object_epsilon)
  rest = change - (image @ whole[:3] + whole[3])

  count = _window_sum(weights, radius)
  sums = _window_sum(weights * _moments(image, rest), radius)
  maps = _ridge(sums / np.maximum(count, _LEAST), local_epsilon)
  # A pixel has the mean map of the windows that it is in; those that hold more
  # of the object know more of it.
  count = count[..., None]
  share = _window_sum(count, radius)
  maps = whole + _window_sum(count * maps, radius) / np.maximum(share, _LEAST)
  maps = _extend(maps, share[..., 0, 0] > _LEAST)
  return np.moveaxis(maps, (3, 2), (0, 1)).astype(np.float32)


# Under the sum of any window's weights, above the rounding of its sums.
_LEAST = 1e-6


def _moments(image: np.ndarray, change: np.ndarray) -> np.ndarray:
  """Per pixel x, p, x x^T and x p^T for colour x and change p: [h, w, 24]."""
  columns = image[..., :, None]
  products = (columns * side[..., None, :] for side in (image, change))
  flat = (product.reshape(*image.shape[:2], 9) for product in products)
  return np.concatenate([image, change, *flat], axis=-1)


def _ridge(means: np.ndarray, epsilon: float) -> np.ndarray:
  """Maps [..., 4, 3] of x to p, by least squares, from means of `_moments`."""
  x, p = means[..., :3], means[..., 3:6]
  square = (*means.shape[:-1], 3, 3)
  columns = x[..., :, None]
  variance = means[..., 6:15].reshape(square) - columns * x[..., None, :]
  covariance = means[..., 15:].reshape(square) - columns * p[..., None, :]
  gain = np.linalg.solve(variance + epsilon * np.eye(3), covariance)
  offset = p[..., None, :] - x[..., None, :] @ gain
  return np.concatenate([gain, offset], axis=-2)


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
  """Sums over each square window, as far as it is in the image; axes 0, 1."""
  for axis in (0, 1):
    size = values.shape[axis]
    sums = np.cumsum(values, axis=axis)
    none = np.zeros_like(np.take(sums, [0], axis))
    sums = np.concatenate([none, sums], axis=axis)
    ends = np.minimum(np.arange(size) + radius + 1, size)
    starts = np.maximum(np.arange(size) - radius, 0)
    values = np.take(sums, ends, axis) - np.take(sums, starts, axis)
  return values


def _extend(maps: np.ndarray, known: np.ndarray) -> np.ndarray:
  """The maps, where they are not known the nearest known ones."""
  if known.all():
    return maps
  rows, columns = distance_transform_edt(
    ~known, return_distances=False, return_indices=True
  )
  return maps[rows, columns]


def apply(maps: np.ndarray, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """`image` changed by `maps` inside `mask`: rounded, clipped; else a copy.

  Args:
    maps: of `fit`; they are stretched over the image, bilinearly.
    image: uint8 [H, W, 3].
    mask: uint8 or bool [H, W].
  """
  result = image.copy()
  height, width = mask.shape
  planes = [
    Image.fromarray(plane) for plane in maps.reshape(12, *maps.shape[2:])
  ]
  rows = max(_BAND // width, 1)

  def change(top: int) -> None:
    band = slice(top, min(top + rows, height))
    columns = np.flatnonzero(mask[band].any(axis=0))
    if not columns.size:
      return
    part = band, slice(columns[0], columns[-1] + 1)
    inside = mask[part].astype(bool)
    for channel, values in enumerate(_changed(planes, image, part)):
      np.copyto(result[*part, channel], values, where=inside)

  # Bands write apart from each other: what comes of it depends on no order.
  threads = min(os.cpu_count() or 1, _MOST_THREADS)
  with ThreadPoolExecutor(threads) as pool:
    list(pool.map(change, range(0, height, rows)))  # raises what they raise
  return result


def _changed(
  planes: list[Image.Image], image: np.ndarray, part: tuple[slice, slice]
) -> Iterator[np.ndarray]:
  """The channels of a part of the image after its change, uint8 [h, w] each."""
  (rows, columns), (height, width) = part, image.shape[:2]
  small_width, small_height = planes[0].size
  # The part's place in the small image; Pillow looks beyond it at its edges.
  box = (
    columns.start * small_width / width,
    rows.start * small_height / height,
    columns.stop * small_width / width,
    rows.stop * small_height / height,
  )
  size = (columns.stop - columns.start, rows.stop - rows.start)

  def stretched(index: int) -> np.ndarray:
    return np.array(planes[index].resize(size, Image.Resampling.BILINEAR, box))

  colours = [image[*part, k].astype(np.float32) for k in range(3)]
  for channel in range(3):
    total = stretched(4 * channel + 3)
    total *= 255
    total += colours[channel]
    for k, colour in enumerate(colours):
      gain = stretched(4 * channel + k)
      gain *= colour
      total += gain
    np.rint(total, out=total)
    yield np.clip(total, 0, 255, out=total).astype(np.uint8)
