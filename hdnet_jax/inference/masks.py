"""Mask files: decoded, and of the size of their images."""

import numpy as np
from PIL import Image

from hdnet_jax import masks
from hdnet_jax.errors import UserError
from hdnet_jax.inference.decode import MAX_PIXELS, Decoded, decode
from hdnet_jax.inference.files import Picture
from hdnet_jax.inference.opening import Source


def read_mask(
  source: Source,
  size: tuple[int, int],
  resize: bool = False,
  invert: bool = False,
  max_pixels: int = MAX_PIXELS,
  ones: bool = True,
) -> tuple[np.ndarray, list[str]]:
  """A mask as float32 [H, W], 0 to 1, for an image of `size`; and notes.

  Args:
    source: a path, a file's bytes, or an open binary file.
    size: the image's width and height.
    resize: whether a mask of another size is resized, bilinearly, to it.
    invert: whether black is foreground.
    max_pixels: see `decode`.
    ones: as of `masks.values`.

  Raises:
    UserError: for a file that is no whole image, one in colours, one that has
      NaN or values out of range, and one of another size without `resize`.
  """
  decoded = decode(source, max_pixels)
  if decoded.size != tuple(size) and not resize:
    raise UserError(
      f"{decoded.name} has {decoded.size[0]}x{decoded.size[1]} pixels and its "
      f"image {size[0]}x{size[1]}; make a mask of the image's size, or give "
      "--resize-mask"
    )
  samples, alpha = samples_of(decoded)
  mask, notes = masks.values(decoded.name, samples, alpha, ones)
  mask = mask.astype(np.float32, copy=False)
  if decoded.size != tuple(size):
    resized = Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)
    mask = np.asarray(resized).clip(0, 1)
  return 1 - mask if invert else mask, [*decoded.notes, *notes]


def mask_of_alpha(
  picture: Picture, invert: bool = False
) -> tuple[np.ndarray, list[str]]:
  """A picture's own alpha as its mask, as of `read_mask`.

  Raises:
    UserError: where it has none.
  """
  if picture.alpha is None:
    raise UserError(
      f"{picture.name} has no alpha channel to be its mask; give a mask"
    )
  mask, notes = masks.values(picture.name, picture.alpha, ones=False)
  hidden = picture.pixels[picture.alpha == 0]
  if len(hidden) and not np.ptp(hidden, axis=0).any():
    notes.append(
      f"What {picture.name} hides by its alpha is of one colour, so there is "
      "no photo to fit the object to; paste it on one: hdnet compose."
    )
  return 1 - mask if invert else mask, notes


def holds_ones(source: Source) -> bool:
  """Whether a mask file holds nothing above 1, so that 1 may be its white."""
  return masks.largest(*samples_of(decode(source))) <= 1


def samples_of(decoded: Decoded) -> tuple[np.ndarray, np.ndarray | None]:
  """A mask file's samples, gray or RGB, and its alpha."""
  samples = decoded.samples
  if samples.ndim == 3 and samples.shape[2] == 4:  # CMYK: as black on white
    light = 255 - samples.astype(np.uint16)
    samples = (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
  return samples, decoded.alpha
