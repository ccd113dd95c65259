"""Turn and resize photos and masks."""

import numpy as np
from PIL import Image

# What turns a stored image upright, by its EXIF orientation.
_TRANSPOSES = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


def turn(samples: np.ndarray, orientation: int) -> np.ndarray:
  """Turn samples [H, W, ...] of EXIF's orientation, 1 to 8, upright."""
  swapped = samples.swapaxes(0, 1) if orientation >= 5 else samples
  vertical = orientation in (3, 4, 7, 8)
  horizontal = orientation in (2, 3, 6, 7)
  turned = swapped[:: -1 if vertical else 1, :: -1 if horizontal else 1]
  return np.ascontiguousarray(turned)


def turn_image(image: Image.Image, orientation: int) -> Image.Image:
  """Turn a PIL image of any mode, as `turn` does."""
  # `ImageOps.exif_transpose` would write the EXIF data anew, and turn by XMP.
  method = _TRANSPOSES.get(orientation)
  return image if method is None else image.transpose(method)


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
  """Return the width and height after `turn`."""
  width, height = size
  return (height, width) if orientation >= 5 else (width, height)


def inverse(orientation: int) -> int:
  """Return the orientation that undoes another one."""
  return {6: 8, 8: 6}.get(orientation, orientation)


def resize_image(image: Image.Image, size: int) -> Image.Image:
  """Resize an image to an RGB square of side `size`, antialiased."""
  return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)


def resize_mask(mask: Image.Image, size: int) -> Image.Image:
  """Resize a mask to a square of side `size`, without new levels."""
  return mask.resize((size, size), Image.Resampling.NEAREST)
