"""A change of colours carried from a small image to the large one.

The fast guided filter (He and Sun 2015; He et al. 2013) on the change that the
network made: around every pixel of the small image it is fitted by an affine
map of the colour there, and the maps are applied to the large image's own
pixels. So no detail is blurred, none is invented, and changes end at edges.

Two things differ from the published filter. Only the object's pixels count, so
what surrounds it does not leak in. And where the colours of a window vary too
little to tell a map, it is that of the whole object, not a constant.

Images are [height, width, channels], float 0 to 1 where they are small and of
any type of `peak` where they are large; a map is what `fit` says.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from hdnet_jax.errors import UserError

# Half of a window's side, in pixels of the small image. Smaller windows follow
# a perfect change better (1 pixel: +0.5 dB) and a network's real one worse
# (-0.1 dB), for they carry its noise along.
RADIUS = 4
# A map is trusted where colours vary by more than this deviation, of 0 to 1: a
# window's where it is above noise and the texture that the small image lost;
# the object's, which is of many more pixels, from a few levels on.
LOCAL_EPSILON = 0.04**2
OBJECT_EPSILON = 0.01**2

# What is white in images of each type.
_PEAKS = {
  np.dtype(np.uint8): 255,
  np.dtype(np.uint16): 65535,
  np.dtype(np.float32): 1,
  np.dtype(np.float64): 1,
}

# Pixels of the large image at a time: their planes stay in the cache.
_BAND = 200_000
_MOST_THREADS = 8


# A part of an image: its rows and its columns.
Part = tuple[slice, slice]


def peak(dtype: np.dtype) -> int:
  """What is white in an image of this type.

  Raises:
    UserError: where it is none of uint8, uint16, float32 and float64.
  """
  if dtype not in _PEAKS:
    names = ", ".join(str(known) for known in _PEAKS)
    raise UserError(f"an image is one of {names}, not {dtype}")
  return _PEAKS[dtype]


def bands(height: int, width: int, least: int = 1) -> Iterator[slice]:
  """Rows that are worked on at a time; `least` of them or more."""
  rows = max(_BAND // width, least)
  for top in range(0, height, rows):
    yield slice(top, min(top + rows, height))


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
  maps = extend(maps, share[..., 0, 0] > _LEAST)
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


def extend(values: np.ndarray, known: np.ndarray) -> np.ndarray:
  """Values [h, w, ...], where bool [h, w] has none known the nearest ones."""
  if known.all():
    return values
  rows, columns = distance_transform_edt(
    ~known, return_distances=False, return_indices=True
  )
  return values[rows, columns]


def apply(
  maps: np.ndarray,
  image: np.ndarray,
  mask: np.ndarray,
  strength: float = 1.0,
) -> np.ndarray:
  """`image` changed by `maps` where the mask is not 0; as `mix` says.

  Args:
    maps: of `fit`; they are stretched over the image, bilinearly.
    image: [H, W, 3] of a type of `peak`.
    mask, strength: as those of `mix`.
  """
  planes = [
    Image.fromarray(plane) for plane in maps.reshape(12, *maps.shape[2:])
  ]
  return mix(image, mask, lambda part: _changed(planes, image, part), strength)


def mix(
  image: np.ndarray,
  mask: np.ndarray,
  changed: Callable[[Part], Iterable[np.ndarray]],
  strength: float = 1.0,
) -> np.ndarray:
  """A copy of the image that holds of `changed` what the mask says.

  A pixel becomes w * changed + (1 - w) * image, where w is mask * strength and
  `changed` is clipped; integers are rounded. Where w is 0 it is a copy, bit by
  bit, and where it is 1 it is `changed`.

  Args:
    image: [H, W, 3] of a type of `peak`.
    mask: bool or uint8 0/1 [H, W], or float 0 to 1.
    changed: of a part, its channels in the image's units, float [h, w] each,
      that may be written to; called from several threads.
    strength: 0 to 1.
  """
  result = image.copy()
  if not strength:
    return result
  white, whole = peak(image.dtype), mask.dtype.kind != "f" and strength == 1

  def change(band: slice) -> None:
    columns = np.flatnonzero(mask[band].any(axis=0))
    if not columns.size:
      return
    part = band, slice(columns[0], columns[-1] + 1)
    inside = mask[part] > 0
    share = None if whole else mask[part] * np.float32(strength)
    for channel, values in enumerate(changed(part)):
      np.clip(values, 0, white, out=values)
      if share is not None:
        values *= share
        kept = 1 - share.astype(values.dtype, copy=False)
        values += kept * image[*part, channel]
        np.clip(values, 0, white, out=values)  # of rounded floats
      if white > 1:
        np.rint(values, out=values)
      values = values.astype(image.dtype, copy=False)
      np.copyto(result[*part, channel], values, where=inside)

  # Bands write apart from each other: what comes of it depends on no order.
  threads = min(os.cpu_count() or 1, _MOST_THREADS)
  with ThreadPoolExecutor(threads) as pool:
    list(pool.map(change, bands(*mask.shape)))  # raises what they raise
  return result


def _changed(
  planes: list[Image.Image], image: np.ndarray, part: Part
) -> Iterator[np.ndarray]:
  """The channels of a part of the image after its change, float [h, w] each."""
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

  # The change is float32; a float64 colour keeps all of its digits under it.
  kind = np.result_type(np.float32, image.dtype)
  colours = [image[*part, k].astype(np.float32) for k in range(3)]
  for channel in range(3):
    total = stretched(4 * channel + 3)
    total *= peak(image.dtype)
    total = total.astype(kind, copy=False)
    total += image[*part, channel]
    for k, colour in enumerate(colours):
      gain = stretched(4 * channel + k)
      gain *= colour
      total += gain
    yield total
