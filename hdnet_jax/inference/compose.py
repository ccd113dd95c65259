"""A cut-out pasted on a photo: the composite, and the mask of the object."""

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.inference.files import Picture


def paste(
  cutout: Picture, background: Picture, at: tuple[int, int], scale: float
) -> tuple[np.ndarray, np.ndarray]:
  """The composite, of the background's size and type, and its soft mask.

  Args:
    cutout: with alpha, which is what of it is pasted.
    background: the photo.
    at: where the cut-out's left upper corner goes, x and y in pixels of the
      background; what lies outside of it is left out.
    scale: of the cut-out, above 0.

  Returns:
    [H, W, 3] of the background's dtype; and float32 [H, W] in 0 to 1.

  Raises:
    UserError: for a cut-out without alpha, and one that is not on the photo.
  """
  if cutout.alpha is None:
    raise UserError(
      f"{cutout.name} has no transparency, so nothing tells what of it to "
      "paste; cut the object out, and save it as a PNG with alpha"
    )
  peak = np.float32(np.iinfo(cutout.alpha.dtype).max)
  alpha = cutout.alpha / peak
  # Multiplied before it is resized: what is transparent has no colour.
  layers = [*np.moveaxis(cutout.pixels / peak * alpha[..., None], -1, 0), alpha]
  size = [max(round(side * scale), 1) for side in cutout.size]
  *colours, alpha = (
    _resized(layer.astype(np.float32), size) for layer in layers
  )
  height, width = background.pixels.shape[:2]
  left, right = max(at[0], 0), min(at[0] + size[0], width)
  top, bottom = max(at[1], 0), min(at[1] + size[1], height)
  if left >= right or top >= bottom:
    raise UserError(
      f"a cut-out of {size[0]}x{size[1]} at {at[0]},{at[1]} is not on "
      f"{background.name}, which is {width}x{height}; choose --at and --scale"
    )
  here = slice(top, bottom), slice(left, right)
  there = (
    slice(top - at[1], bottom - at[1]),
    slice(left - at[0], right - at[0]),
  )
  mask = np.zeros((height, width), np.float32)
  mask[here] = alpha[there]
  composite = background.pixels.copy()
  white = np.iinfo(composite.dtype).max
  below = composite[here].astype(np.float32) * (1 - mask[here])[..., None]
  above = np.stack([colour[there] for colour in colours], axis=-1) * white
  blended = np.rint(below + above).clip(0, white).astype(composite.dtype)
  # Where nothing is pasted the photo stays, bit by bit.
  composite[here] = np.where(
    mask[here][..., None] > 0, blended, composite[here]
  )
  return composite, mask


def _resized(layer: np.ndarray, size: list[int]) -> np.ndarray:
  # Without negative lobes, colours and alpha cannot overshoot apart.
  image = Image.fromarray(layer).resize(size, Image.Resampling.BILINEAR)
  return np.asarray(image)
