"""Placement: a photo's object in its place, or moved within its photo.

A photo and a mask at twice the network's size become three uint8 layers at the
network's size:

  background [H, W, 3]  the photo; where the object has moved, its old place is
                        filled from what surrounds it
  object     [H, W, 3]  the photo, moved so that the object is in its new place
  alpha      [H, W, 1]  how much of each pixel the object covers, 0 to 255

Colours are changed later, on the device. Edges are as soft as those of a
picture that was composed at full size and then made smaller.
"""

import numpy as np
from PIL import Image, ImageFilter

from hdnet_jax.config import CompositesConfig
from hdnet_jax.data.examples import Example

# Least and most pixels cut off a moved object's edge, where the old
# surroundings show.
_ERODED = (1, 4)
_HOLE = 5  # pixels around the object's old place that are filled, too
_SCALE = (0.8, 1.25)
_TRIES = 10  # places drawn before the object is left where it is
_INSIDE = 0.7  # of a moved object's pixels that stay in the picture


def make_layers(
  example: Example, rng: np.random.Generator, config: CompositesConfig
) -> Example:
  """Replace `real` and `mask` of an example by layers of half the size.

  Args:
    config: its `moved`, `edge` and `hard` say how.
  """
  photo = Image.fromarray(example["real"])
  mask = Image.fromarray(255 * example["mask"][..., 0])
  moved = None
  if rng.random() < config.moved:
    moved = _moved(photo, mask, rng)
  if moved is None:
    background = layer = np.asarray(photo.reduce(2))
    alpha = _grown(mask, int(rng.integers(-config.edge, config.edge + 1)))
  else:
    background, layer, alpha = moved
  alpha = np.asarray(alpha.reduce(2))[..., None]
  # A hard edge would give away an object in its old place.
  if moved is not None and rng.random() < config.hard:
    alpha = np.where(alpha > 127, np.uint8(255), np.uint8(0))
  rest = example.keys() - {"real", "mask"}
  return {
    **{name: example[name] for name in rest},
    "background": background,
    "object": layer,
    "alpha": alpha,
  }


def _grown(mask: Image.Image, pixels: int) -> Image.Image:
  """Grow the mask by `pixels` on every side; shrink it if negative."""
  if not pixels:
    return mask
  # Means of squares: above 0 where one pixel is white, 255 where all are.
  means = mask.filter(ImageFilter.BoxBlur(abs(pixels)))
  least = 1 if pixels > 0 else 255
  grown = means.point([0] * least + [255] * (256 - least))
  return grown if grown.getbbox() else mask


def _moved(
  photo: Image.Image, mask: Image.Image, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Image.Image] | None:
  """Move the object to a random place.

  Returns:
    Background and object at half size, and alpha at full size. None if no
    place was found, or if the object is likely to be ground or sky.
  """
  size = photo.width
  cut = _grown(mask, -int(rng.integers(_ERODED[0], _ERODED[1] + 1)))
  left, top, right, bottom = cut.getbbox() or (0, 0, size, size)
  # An object that the picture cuts off on two sides is ground or sky.
  if (left, top).count(0) + (right, bottom).count(size) > 1:
    return None
  count = np.count_nonzero(np.asarray(cut))
  for _ in range(_TRIES):
    scale = np.exp(rng.uniform(*np.log(_SCALE)))
    flip = -1 if rng.random() < 0.5 else 1
    x, y = rng.uniform(0, size, 2)  # of the object's middle
    # From a place of the result to its place in the photo.
    transform = (
      *(flip / scale, 0, (left + right) / 2 - flip / scale * x),
      *(0, 1 / scale, (top + bottom) / 2 - y / scale),
    )

    def placed(
      image: Image.Image, transform: tuple[float, ...] = transform
    ) -> Image.Image:
      return image.transform(
        image.size, Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR
      )

    alpha = placed(cut)
    if np.asarray(alpha).sum() >= 255 * _INSIDE * scale**2 * count:
      break
  else:
    return None
  hole = np.asarray(_grown(mask, _HOLE).reduce(2))[..., None] > 0
  background = fill(np.asarray(photo.reduce(2)), hole)
  return background, np.asarray(placed(photo).reduce(2)), alpha


def fill(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
  """Fill the photo's hole smoothly from what surrounds it.

  It uses a pyramid of means (pull and push, Gortler et al. 1996).

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

  def halved(x: np.ndarray) -> np.ndarray:
    return x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]

  weights, sums = halved(weights), halved(sums)
  small = sums / np.maximum(weights, 1e-6)
  small = _fill(small, np.minimum(weights, 1))
  return known * values + (1 - known) * _doubled(small)[:h, :w]


def _doubled(x: np.ndarray) -> np.ndarray:
  """Double the size by bilinear interpolation."""
  for axis in (0, 1):
    first, last = np.take(x, [0], axis), np.take(x, [-1], axis)
    before = np.concatenate([first, np.delete(x, -1, axis)], axis)
    after = np.concatenate([np.delete(x, 0, axis), last], axis)
    pair = [0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after]
    shape = list(x.shape)
    shape[axis] *= 2
    x = np.stack(pair, axis + 1).reshape(shape)
  return x
