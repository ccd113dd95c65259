"""Placement: a photo's object in its place, or moved within its photo.

From a photo and a mask at twice the network's size to three uint8 layers at
the network's size:

  background [H, W, 3]  the photo; where the object has moved, its old place is
                        filled from what surrounds it
  object     [H, W, 3]  the photo, moved so that the object is in its new place
  alpha      [H, W, 1]  how much of each pixel the object covers, 0 to 255

Colours are changed later, on the device. The reduction makes edges as soft as
those of a picture that was composed at full size and then made smaller.
"""

import numpy as np
from PIL import Image, ImageFilter

from hdnet_jax.data.records import Example

_ERODED = (1, 4)  # pixels off the edge of a moved object, so that its old
# surroundings do not come along
_HOLE = 5  # pixels more than the object that are filled
_SCALE = (0.8, 1.25)
_TRIES = 10  # places drawn before the object is left where it is
_INSIDE = 0.7  # of a moved object's pixels that stay in the picture


def make_layers(
  example: Example,
  rng: np.random.Generator,
  moved: float,
  edge: int,
  hard: float = 0.0,
) -> Example:
  """Make an example's layers.

  Args:
    example: `real` and `mask` at twice the size of the layers, and `index`.
    moved: the share of objects that are moved.
    edge: the most pixels, of the large size, by which the mask of an object in
      its place is grown or shrunk.
    hard: the share of objects whose edges are hard: alpha is 0 or 255.
  """
  photo = Image.fromarray(example["real"])
  mask = Image.fromarray(255 * example["mask"][..., 0])
  background, layer, alpha = photo, photo, None
  if rng.random() < moved:
    placed = _moved(photo, mask, rng)
    if placed is not None:
      background, layer, alpha = placed
  if alpha is None:
    alpha = _grown(mask, int(rng.integers(-edge, edge + 1)))
    background = np.asarray(background.reduce(2))
  alpha = np.asarray(alpha.reduce(2))[..., None]
  if rng.random() < hard:
    alpha = np.where(alpha > 127, np.uint8(255), np.uint8(0))
  return {
    "background": background,
    "object": np.asarray(layer.reduce(2)),
    "alpha": alpha,
    "index": example["index"],
  }


def _grown(mask: Image.Image, pixels: int) -> Image.Image:
  """The mask, larger by `pixels` on every side; smaller where negative."""
  if not pixels:
    return mask
  # Means of squares: above 0 where one pixel is white, 255 where all are.
  means = mask.filter(ImageFilter.BoxBlur(abs(pixels)))
  least = 1 if pixels > 0 else 255
  grown = means.point([0] * least + [255] * (256 - least))
  return grown if grown.getbbox() else mask


def _moved(photo, mask, rng):
  cut = _grown(mask, -int(rng.integers(_ERODED[0], _ERODED[1] + 1)))
  left, top, right, bottom = cut.getbbox() or (0, 0, 1, 1)
  size = photo.width
  # What the picture cuts off on two sides is a scene's part: ground, or sky.
  if (left, top).count(0) + (right, bottom).count(size) > 1:
    return None
  count = np.count_nonzero(cut)
  for _ in range(_TRIES):
    scale = np.exp(rng.uniform(*np.log(_SCALE)))
    flip = -1 if rng.random() < 0.5 else 1
    x, y = rng.uniform(0, size, 2)
    # From a place of the result to its place in the photo.
    a, e = flip / scale, 1 / scale
    transform = (
      *(a, 0, (left + right) / 2 - a * x),
      *(0, e, (top + bottom) / 2 - e * y),
    )
    alpha = mask_at = cut.transform(
      cut.size, Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR
    )
    if np.asarray(mask_at).sum() >= 255 * _INSIDE * scale**2 * count:
      break
  else:
    return None
  layer = photo.transform(
    photo.size, Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR
  )
  hole = np.asarray(_grown(mask, _HOLE).reduce(2))[..., None] > 0
  return fill(np.asarray(photo.reduce(2)), hole), layer, alpha


def fill(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
  """The photo with its hole filled smoothly from what surrounds it.

  By a pyramid of means of what is known (pull and push, Gortler et al. 1996).

  Args:
    photo: uint8 [H, W, 3].
    hole: bool [H, W, 1].
  """
  filled = _fill(photo.astype(np.float32), 1 - hole.astype(np.float32))
  return np.where(hole, np.rint(filled).astype(np.uint8), photo)


def _fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
  h, w = known.shape[:2]
  if known.all() or max(h, w) == 1:
    return values
  pad = ((0, h % 2), (0, w % 2), (0, 0))
  weights = np.pad(known, pad)
  sums = np.pad(values * known, pad)

  def halved(x):
    return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

  weights, sums = halved(weights), halved(sums)
  small = sums / np.maximum(weights, 1e-6)
  small = _fill(small, np.minimum(weights, 1))
  return known * values + (1 - known) * _doubled(small)[:h, :w]


def _doubled(x: np.ndarray) -> np.ndarray:
  """Twice as large, by bilinear interpolation."""
  for axis in (0, 1):
    before = np.concatenate(
      [np.take(x, [0], axis), np.delete(x, -1, axis)], axis
    )
    after = np.concatenate([np.delete(x, 0, axis), np.take(x, [-1], axis)], axis)
    pair = np.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
    shape = list(x.shape)
    shape[axis] *= 2
    x = pair.reshape(shape)
  return x
