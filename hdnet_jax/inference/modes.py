"""Modes: what the network sees of a scene, and how its change is applied.

"guided": the network sees a small image, and its change of colours is carried
to the large one. "direct": the network sees the image at its own size.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from hdnet_jax.images.transforms import resize_image, resize_mask
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.change import ChangeOptions, feather_mask
from hdnet_jax.inference.inputs import Scene, to_uint8
from hdnet_jax.model.architecture import REDUCTION

Mode = Literal["guided", "direct"]
_LEAST_ALPHA = 1 / 512  # below this mean alpha, a small pixel is not visible


class NetworkInput(NamedTuple):
  """An image, float32 [h, w, 3] in -1 to 1, and its object, 0/1 [h, w]."""

  image: np.ndarray
  inside: np.ndarray


def find_object(scene: Scene) -> np.ndarray | None:
  """Return where the object is visible, bool [H, W].

  The object is where the mask is over 0.5. Return None where nothing of it is
  visible, or where alpha leaves no background to fit it to.
  """
  inside = scene.mask > 0.5
  if scene.alpha is None:
    return inside if inside.any() else None
  visible = scene.alpha > 0
  inside &= visible
  return inside if inside.any() and (visible & ~inside).any() else None


def network_input(
  scene: Scene, inside: np.ndarray, mode: Mode, size: int
) -> NetworkInput:
  """Return what the network sees of a scene.

  Args:
    inside: from `find_object`.
    size: side of the image of mode "guided"; that of mode "direct" is padded to
      multiples of 8.
  """
  composite = scene.composite
  if mode == "guided":
    if scene.alpha is None:
      composite, inside = reduce(to_uint8(composite), inside, size)
    else:
      composite, inside = _reduce_visible(scene, inside, size)
  else:
    if scene.alpha is not None:
      composite = _fill(composite, inside, scene.alpha > 0)
    after = [(0, -side % REDUCTION) for side in inside.shape]
    composite = np.pad(composite, [*after, (0, 0)], mode="edge")
    inside = np.pad(inside, after)
  half = np.float32(guided_filter.white_level(composite.dtype) / 2)
  return NetworkInput(composite.astype(np.float32) / half - 1, inside)


def fit_maps(seen: NetworkInput, output: np.ndarray) -> np.ndarray:
  """Fit the maps of `guided_filter` from what was seen to the output."""
  image, inside = seen
  return guided_filter.fit((image + 1) / 2, (output - image) / 2, inside)


def apply_output(
  scene: Scene,
  options: ChangeOptions,
  seen: NetworkInput,
  output: np.ndarray,
  mode: Mode,
) -> np.ndarray:
  """Change the composite as the network changed what it saw.

  Args:
    output: the network's image, of the shape of `seen.image`.
  """
  composite, strength = scene.composite, options.strength
  mask = feather_mask(scene.mask, options.feather)
  if mode == "guided":
    return guided_filter.apply(
      fit_maps(seen, output), composite, mask, strength
    )
  change = (output - seen.image) / 2  # of colours from 0 to 1
  if mask.dtype != bool:
    # Soft edges reach beyond the object, where the network changes nothing.
    change = guided_filter.extend(change, seen.inside)
  white = np.float32(guided_filter.white_level(composite.dtype))

  def changed(part: guided_filter.Part) -> Iterator[np.ndarray]:
    for channel in range(3):
      yield change[*part, channel] * white + composite[*part, channel]

  return guided_filter.mix(composite, mask, changed, strength)


def reduce(
  composite: np.ndarray, mask: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Return image and mask at [size, size], as they are in training.

  The mask is sampled at the nearest pixels, which can miss a small object. Then
  the mask is the small pixels that hold part of it, each in that part's mean
  colour.

  Args:
    composite: uint8 [H, W, 3].
    mask: bool or uint8 0/1 [H, W].

  Returns:
    uint8 [size, size, 3] and uint8 0/1 [size, size].
  """
  small = np.asarray(resize_image(Image.fromarray(composite), size))
  return _reduce_mask(small, composite, mask, size)


def _reduce_visible(
  scene: Scene, inside: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Reduce as `reduce` does, with colours weighted by alpha.

  Small pixels where nothing is visible take the nearest background.
  """
  if scene.alpha is None:
    raise ValueError("a scene without alpha is visible everywhere")
  white = np.float32(guided_filter.white_level(scene.alpha.dtype))
  alpha = scene.alpha / white
  small_alpha = _resize(alpha, size)
  composite = to_uint8(scene.composite)
  colors = [_resize(composite[..., c] * alpha, size) for c in range(3)]
  small = np.stack(colors, axis=-1)
  small /= np.maximum(small_alpha, _LEAST_ALPHA)[..., None]
  small = np.rint(small.clip(0, 255)).astype(np.uint8)
  small, mask = _reduce_mask(small, composite, inside, size)
  visible = (small_alpha > _LEAST_ALPHA) | (mask > 0)
  return _fill(small, mask > 0, visible), mask


def _fill(
  image: np.ndarray, inside: np.ndarray, visible: np.ndarray
) -> np.ndarray:
  """Replace what is not visible of an image by the nearest background."""
  known = visible & ~inside
  if not known.any():  # the background is too little for the small image
    known = visible
  return np.where(visible[..., None], image, guided_filter.extend(image, known))


def _reduce_mask(
  small: np.ndarray, composite: np.ndarray, mask: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Return the small image, with what the mask missed, and the small mask."""
  mask = mask.astype(np.uint8, copy=False)
  small_mask = np.asarray(resize_mask(Image.fromarray(mask), size))
  if small_mask.any():
    return small, small_mask
  height, width = mask.shape
  rows, columns = np.nonzero(mask)
  cells = (rows * size // height) * size + columns * size // width
  count = np.bincount(cells, minlength=size * size)
  hit = count > 0
  small = small.reshape(-1, 3).copy()
  for channel in range(3):
    values = composite[rows, columns, channel]
    sums = np.bincount(cells, values, size * size)
    small[hit, channel] = np.rint(sums[hit] / count[hit])
  return small.reshape(size, size, 3), hit.astype(np.uint8).reshape(size, size)


def _resize(layer: np.ndarray, size: int) -> np.ndarray:
  image = Image.fromarray(layer)
  return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
