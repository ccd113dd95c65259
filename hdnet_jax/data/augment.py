"""Augmentations that move composite, mask and real together. Off by default."""

import math

import numpy as np
from PIL import Image

from hdnet_jax.data.examples import Example

_TRIES = 10  # crops drawn before the whole image is taken
_ASPECT = 4 / 3  # of a crop, at most, either way
_KEPT = 0.25  # of the object's pixels that a crop must hold
_IMAGES = {
  "composite": Image.Resampling.BILINEAR,
  "real": Image.Resampling.BILINEAR,
  "mask": Image.Resampling.NEAREST,
}


def augment(
  example: Example, rng: np.random.Generator, flip: bool, crop: float
) -> Example:
  """The example flipped left to right by chance, and cropped at random.

  Args:
    flip: whether half of the examples are mirrored.
    crop: the least share of the area that a crop keeps; 1 is no crop. A crop
      is resized to the example's size; it holds a quarter of the object.
  """
  if flip and rng.random() < 0.5:
    example = _each(example, lambda name, image: image[:, ::-1])
  if crop < 1:
    box = _draw_box(example["mask"], rng, crop)
    if box is not None:
      example = _each(example, lambda name, image: _resized(name, image, box))
  return _each(example, lambda name, image: np.ascontiguousarray(image))


def _each(example: Example, change) -> Example:
  return {
    name: change(name, value) if name in _IMAGES else value
    for name, value in example.items()
  }


def _draw_box(
  mask: np.ndarray, rng: np.random.Generator, crop: float
) -> tuple[int, int, int, int] | None:
  """Left, top, right, bottom; None where no crop holds enough of the object."""
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


def _resized(name: str, image: np.ndarray, box: tuple) -> np.ndarray:
  height, width, channels = image.shape
  picture = Image.fromarray(image[..., 0] if channels == 1 else image)
  picture = picture.resize((width, height), _IMAGES[name], box)
  return np.asarray(picture).reshape(image.shape)
