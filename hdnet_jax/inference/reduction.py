"""What the network sees of an image: small, and only what is visible."""

import numpy as np
from PIL import Image

from hdnet_jax.images.transforms import resize_image, resize_mask
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.arrays import Pair, Scene, to_bytes

_VISIBLE = 1 / 512  # of the light of a small pixel


def reduced(
  composite: np.ndarray, mask: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """The image as it is in training: uint8 [size, size, 3], [size, size].

  The nearest pixels can miss a small object. Then the small pixels that hold
  some of it are its mask, and have the mean colour of the object's part there.

  Args:
    composite: uint8 [H, W, 3].
    mask: bool or uint8 0/1 [H, W].
  """
  small = np.asarray(resize_image(Image.fromarray(composite), size))
  return _masked(small, composite, mask, size)


def reduced_visible(scene: Scene, inside: np.ndarray, size: int) -> Pair:
  """As `reduced`; of colours each counts as much as alpha shows of it.

  Where nothing shows there are those of the nearest background.

  Args:
    scene: with alpha.
    inside: bool [H, W], the object where it is visible.
  """
  light = scene.alpha / np.float32(guided_filter.peak(scene.alpha.dtype))
  share = _resized(light, size)
  composite = to_bytes(scene.composite)
  colours = [
    _resized(composite[..., channel] * light, size) for channel in range(3)
  ]
  small = np.stack(colours, axis=-1)
  small /= np.maximum(share, _VISIBLE)[..., None]
  small = np.rint(small.clip(0, 255)).astype(np.uint8)
  small, mask = _masked(small, composite, inside, size)
  return filled(small, mask > 0, (share > _VISIBLE) | (mask > 0)), mask


def filled(
  image: np.ndarray, inside: np.ndarray, visible: np.ndarray
) -> np.ndarray:
  """The image, [h, w, 3], where nothing is visible the nearest background."""
  known = visible & ~inside
  if not known.any():  # there is too little for the small image
    known = visible
  return np.where(visible[..., None], image, guided_filter.extend(image, known))


def _masked(
  small: np.ndarray, composite: np.ndarray, mask: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """The small image, and the mask as small; with objects that it missed."""
  mask = mask.astype(np.uint8, copy=False)
  small_mask = np.asarray(resize_mask(Image.fromarray(mask), size))
  if small_mask.any():
    return small, small_mask
  height, width = mask.shape
  rows, columns = np.nonzero(mask)
  cells = (rows * size // height) * size + columns * size // width
  count = np.bincount(cells, minlength=size * size)
  found = count > 0
  small = small.reshape(-1, 3).copy()
  for channel in range(3):
    values = composite[rows, columns, channel]
    sums = np.bincount(cells, values, size * size)
    small[found, channel] = np.rint(sums[found] / count[found])
  mask = found.astype(np.uint8)
  return small.reshape(size, size, 3), mask.reshape(size, size)


def _resized(layer: np.ndarray, size: int) -> np.ndarray:
  image = Image.fromarray(layer)
  return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
