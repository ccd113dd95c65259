"""The nearest known pixel of every pixel, exact, in NumPy.

Within a column, running maxima and minima find the nearest. Within a row, pixel
x chooses the column c of the least (x - c)^2 + d(c)^2, where d is the distance
within the column. The choice never decreases with x, so the choices of every
second x bound those between. All rows are refined at once, from coarse to fine
(the distance transform of Felzenszwalb and Huttenlocher 2012 by divide and
conquer).
"""

import numpy as np

_BLOCK = 2**17  # pixels, which stay in the cache


def nearest(
  known: np.ndarray, block: int = _BLOCK
) -> tuple[np.ndarray, np.ndarray]:
  """Return rows and columns of the nearest known pixel of every pixel.

  Args:
    known: bool [H, W], somewhere true.
    block: the pixels that are worked on at a time.

  Returns:
    Two integer arrays [H, W]; of equally near pixels, the one in the column
    furthest left, and there the upper one.
  """
  height, width = known.shape
  rows = _nearest_rows(known)
  columns = np.empty((height, width), np.intp)
  step = max(block // width, 1)
  # The largest number in `_least`, which is faster in 32 bits.
  most = (width**2 + (3 * height + 2 * width) ** 2 + 1) * width
  kind = np.int32 if most < 2**31 else np.int64
  for top in range(0, height, step):
    part = slice(top, min(top + step, height))
    offset = np.arange(part.start, part.stop)[:, None] - rows[part]
    columns[part] = _nearest_columns(offset.astype(kind) ** 2)
  return np.take_along_axis(rows, columns, axis=1), columns


def distance(known: np.ndarray) -> np.ndarray:
  """Return the distance to the nearest known pixel, float64 [H, W].

  Args:
    known: bool [H, W], somewhere true.
  """
  rows, columns = nearest(known)
  y, x = np.ogrid[: known.shape[0], : known.shape[1]]
  return np.hypot(y - rows, x - columns)


def _nearest_rows(known: np.ndarray) -> np.ndarray:
  """Return the row of the nearest known pixel in each column.

  A column without one has a row that is further away than any pixel.
  """
  height, width = known.shape
  far = 2 * (height + width)
  row = np.arange(height)[:, None]
  above = np.maximum.accumulate(np.where(known, row, -far), axis=0)
  below = np.where(known, row, far + height)
  below = np.minimum.accumulate(below[::-1], axis=0)[::-1]
  return np.where(row - above <= below - row, above, below)


def _nearest_columns(squared: np.ndarray) -> np.ndarray:
  """Return the column of the least (x - column)^2 + squared, for every x.

  Args:
    squared: integers [h, W].
  """
  height, width = squared.shape
  squared = squared.ravel()
  # One more column at each end, to bound the choices of the first and last.
  best = np.zeros((height, width + 2), np.int64)
  best[:, -1] = width - 1
  stride = 1 << max(width - 1, 1).bit_length()
  while stride:
    # Every x between those done already, which are 2 * stride apart.
    x = np.arange(stride, width + 1, 2 * stride)
    first = best[:, x - stride]
    last = best[:, np.minimum(x + stride, width + 1)]
    best[:, x] = _least(squared, width, x - 1, first, last)
    stride //= 2
  return best[:, 1:-1]


def _least(
  squared: np.ndarray,
  width: int,
  x: np.ndarray,
  first: np.ndarray,
  last: np.ndarray,
) -> np.ndarray:
  """Return the best column, [h, n], of each x [n], in `first` to `last`."""
  if not x.size:
    return first
  lengths = (last - first + 1).ravel()
  starts = np.cumsum(lengths, dtype=np.intp) - lengths
  pixel = np.repeat(np.arange(lengths.size), lengths)
  # Every candidate of every pixel, in one row.
  column = np.arange(len(pixel)) - (starts - first.ravel())[pixel]
  row = np.repeat(np.arange(len(first)) * width, len(x))
  cost = squared[column + row[pixel]]
  column = column.astype(cost.dtype)
  offset = np.tile(x, len(first)).astype(cost.dtype)[pixel] - column
  cost += offset * offset
  # The least cost, and of equal ones the least column, in one number.
  cost *= width
  cost += column
  return (np.minimum.reduceat(cost, starts) % width).reshape(first.shape)
