"""The fast guided filter: carry a change of colours to a larger image.

Around every pixel of the small image, the change is fitted by an affine map of
the colour, and the maps are applied to the large image's own pixels (He et al.
2013, He and Sun 2015). So detail is neither blurred nor made up, and changes
end at edges.

Two things differ from the published filter. Only the object's pixels count, so
that nothing leaks in from outside. And where the colours of a window vary too
little to tell a map, the map is that of the whole object, not a constant.

Small images are float in 0 to 1; large ones of any type of `white_level`.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from hdnet_jax.cpus import count_cpus
from hdnet_jax.errors import UserError
from hdnet_jax.inference.nearest import nearest

# Half of a window's side, in pixels of the small image. Smaller windows follow
# a perfect change better (1 pixel: +0.5 dB) and a network's real one worse
# (-0.1 dB), for they carry its noise along.
RADIUS = 4
# Colours, 0 to 1, must vary by more than this squared deviation for a map to be
# trusted. In a window, that is more than noise and the texture that the small
# image lost; in the object, which has many more pixels, it is a few levels.
LOCAL_EPSILON = 0.04**2
OBJECT_EPSILON = 0.01**2

BLOCK = 200_000  # pixels that are worked on at a time, to stay in the cache
_MAX_THREADS = 8
_TINY = 1e-6  # above the rounding of window sums, below any sum of weights

_WHITE_LEVELS = {
  np.dtype(np.uint8): 255,
  np.dtype(np.uint16): 65535,
  np.dtype(np.float32): 1,
  np.dtype(np.float64): 1,
}

Part = tuple[slice, slice]  # rows and columns of an image


def white_level(dtype: np.dtype) -> int:
  """Return what is white in an image of this type.

  Raises:
    UserError: where it is none of uint8, uint16, float32 and float64.
  """
  if dtype not in _WHITE_LEVELS:
    names = ", ".join(map(str, _WHITE_LEVELS))
    raise UserError(f"an image is one of {names}, not {dtype}")
  return _WHITE_LEVELS[dtype]


def row_blocks(
  height: int, width: int, min_rows: int = 1, pixels: int = BLOCK
) -> Iterator[slice]:
  """Split an image's rows into blocks of about `pixels` pixels."""
  rows = max(pixels // width, min_rows)
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
  """Fit a map of colour to change around every pixel.

  `maps[c, :3]` times the colour plus `maps[c, 3]` is the change of channel c.
  Outside of the object, maps are the nearest ones in it.

  Args:
    image: float [h, w, 3], 0 to 1.
    change: what is to be added to it, float [h, w, 3].
    weights: of each pixel, float [h, w], 0 or more, and 0 outside of the
      object; all zeros make maps of no change.

  Returns:
    maps: float32 [3, 4, h, w].
  """
  weights = np.asarray(weights, float)
  total, shape = weights.sum(), weights.shape
  if not total:
    return np.zeros((3, 4, *shape), np.float32)

  # Windows of windows further away than this hold nothing of the object.
  part = _around(weights > 0, 2 * radius)
  image, change = (np.asarray(array, float)[part] for array in (image, change))
  weights = weights[part][..., None]
  means = (weights * _moments(image, change)).sum(axis=(0, 1)) / total
  whole = _ridge(means, object_epsilon)
  rest = change - (image @ whole[:3] + whole[3])

  count = _window_sum(weights, radius)
  sums = _window_sum(weights * _moments(image, rest), radius)
  maps = _ridge(sums / np.maximum(count, _TINY), local_epsilon)
  # A pixel has the mean map of its windows, weighted by how much of the object
  # they hold.
  count = count[..., None]
  share = _window_sum(count, radius)
  maps = whole + _window_sum(count * maps, radius) / np.maximum(share, _TINY)
  everywhere, known = np.zeros((*shape, 4, 3)), np.zeros(shape, bool)
  everywhere[part], known[part] = maps, share[..., 0, 0] > _TINY
  everywhere = extend(everywhere, known)
  return np.moveaxis(everywhere, (3, 2), (0, 1)).astype(np.float32)


def _around(inside: np.ndarray, margin: int) -> Part:
  """Return the part that holds all that is inside, and a margin around it."""
  rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
  return (
    slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
    slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
  )


def _moments(image: np.ndarray, change: np.ndarray) -> np.ndarray:
  """Compute x, p, x x^T and x p^T of colour x and change p: [h, w, 24]."""
  columns = image[..., :, None]
  products = (columns * side[..., None, :] for side in (image, change))
  flat = (product.reshape(*image.shape[:2], 9) for product in products)
  return np.concatenate([image, change, *flat], axis=-1)


def _ridge(means: np.ndarray, epsilon: float) -> np.ndarray:
  """Solve for maps [..., 4, 3] of x to p, from the means of `_moments`."""
  x, p = means[..., :3], means[..., 3:6]
  square = (*means.shape[:-1], 3, 3)
  columns = x[..., :, None]
  variance = means[..., 6:15].reshape(square) - columns * x[..., None, :]
  covariance = means[..., 15:].reshape(square) - columns * p[..., None, :]
  gain = np.linalg.solve(variance + epsilon * np.eye(3), covariance)
  offset = p[..., None, :] - x[..., None, :] @ gain
  return np.concatenate([gain, offset], axis=-2)


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
  """Sum over a square window around each pixel, within the image."""
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
  """Set values [h, w, ...] to the nearest known; `known` is bool [h, w]."""
  if known.all():
    return values
  return values[nearest(known)]


def apply(
  maps: np.ndarray,
  image: np.ndarray,
  mask: np.ndarray,
  strength: float = 1.0,
  block_pixels: int = BLOCK,
) -> np.ndarray:
  """Change `image` by `maps`, stretched over it bilinearly, as `mix` says.

  Args:
    maps: from `fit`.
    image, mask, strength, block_pixels: as in `mix`.
  """
  planes = [
    Image.fromarray(plane) for plane in maps.reshape(12, *maps.shape[2:])
  ]

  def changed(part: Part) -> Iterator[np.ndarray]:
    return _apply_part(planes, image, part)

  return mix(image, mask, changed, strength, block_pixels)


def mix(
  image: np.ndarray,
  mask: np.ndarray,
  changed: Callable[[Part], Iterable[np.ndarray]],
  strength: float = 1.0,
  block_pixels: int = BLOCK,
) -> np.ndarray:
  """Mix an image with a changed one by the mask; return a copy.

  A pixel becomes w * changed + (1 - w) * image, where w is mask * strength.
  `changed` and the result are clipped to the image's range. Integers are
  rounded. Where w is 0 the pixel is kept bitwise.

  Args:
    image: [H, W, 3] of a type of `white_level`.
    mask: bool or uint8 0/1 [H, W], or float 0 to 1.
    changed: returns the channels of a part of the changed image, each float
      [h, w] in the image's units, which `mix` overwrites; called from several
      threads.
    strength: 0 to 1.5.
    block_pixels: how many pixels are worked on at a time.
  """
  result = image.copy()
  if not strength:
    return result
  white = white_level(image.dtype)
  is_hard = mask.dtype.kind != "f" and strength == 1

  def change(rows: slice) -> None:
    columns = np.flatnonzero(mask[rows].any(axis=0))
    if not columns.size:
      return
    part = rows, slice(columns[0], columns[-1] + 1)
    inside = mask[part] > 0
    share = None if is_hard else mask[part] * np.float32(strength)
    for channel, values in enumerate(changed(part)):
      np.clip(values, 0, white, out=values)
      if share is not None:
        values *= share
        kept = 1 - share.astype(values.dtype, copy=False)
        values += kept * image[*part, channel]
        np.clip(values, 0, white, out=values)  # of w above 1, and of rounding
      if white > 1:
        np.rint(values, out=values)
      values = values.astype(image.dtype, copy=False)
      np.copyto(result[*part, channel], values, where=inside)

  threads = min(count_cpus(), _MAX_THREADS)
  with ThreadPoolExecutor(threads) as pool:
    blocks = row_blocks(*mask.shape, pixels=block_pixels)
    list(pool.map(change, blocks))  # raises what they raise
  return result


def _apply_part(
  planes: list[Image.Image], image: np.ndarray, part: Part
) -> Iterator[np.ndarray]:
  """Yield the channels of a part of the changed image, float [h, w] each."""
  (rows, columns), (height, width) = part, image.shape[:2]
  small_width, small_height = planes[0].size
  # The part in the small image; interpolation looks beyond its edges.
  box = (
    columns.start * small_width / width,
    rows.start * small_height / height,
    columns.stop * small_width / width,
    rows.stop * small_height / height,
  )
  size = (columns.stop - columns.start, rows.stop - rows.start)

  def stretched(index: int) -> np.ndarray:
    return np.array(planes[index].resize(size, Image.Resampling.BILINEAR, box))

  # The change is float32, but is added to a float64 colour in float64.
  kind = np.result_type(np.float32, image.dtype)
  colours = [image[*part, k].astype(np.float32) for k in range(3)]
  for channel in range(3):
    total = stretched(4 * channel + 3)
    total *= white_level(image.dtype)
    total = total.astype(kind, copy=False)
    total += image[*part, channel]
    for k, colour in enumerate(colours):
      gain = stretched(4 * channel + k)
      gain *= colour
      total += gain
    yield total
