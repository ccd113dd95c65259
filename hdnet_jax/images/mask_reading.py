"""Mask files: decoded, and of the size of their images."""

import numpy as np

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.decode import MAX_PIXELS, Decoded, decode
from hdnet_jax.images.file import Picture
from hdnet_jax.images.mask_fit import fit
from hdnet_jax.images.opening import Source


def read_mask(
  source: Source,
  size: tuple[int, int],
  resize: bool = False,
  invert: bool = False,
  orientation: int = 1,
  max_pixels: int = MAX_PIXELS,
  ones: bool = True,
) -> tuple[np.ndarray, list[str]]:
  """A mask as float32 [H, W], 0 to 1, for an image of `size`; and notes.

  Args:
    source: a path, a file's bytes, or an open binary file.
    size: the image's width and height, upright.
    resize: whether a mask of another size is resized, bilinearly, to it.
    invert: whether black is foreground.
    orientation: by which the image was turned upright.
    max_pixels: see `decode`.
    ones: as of `masks.values`.

  Raises:
    UserError: for a file that is no whole image or no mask; and where it does
      not fit: see `mask_fit.fit`.
  """
  decoded = decode(source, max_pixels)
  name, own = decoded.name, decoded.orientation
  laid = fit(name, decoded.size, tuple(size), own, orientation, resize)
  samples, alpha = samples_of(decoded)
  mask, notes = masks.values(name, samples, alpha, ones)
  mask = laid(mask).astype(np.float32, copy=False)
  return 1 - mask if invert else mask, [*decoded.notes, *notes, *laid.notes]


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
