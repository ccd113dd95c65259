"""Masks as people have them: which pixels are harmonized, and how much.

White is foreground. Gray is in between, and blends.
"""

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.inference.decode import MAX_PIXELS, Decoded, decode
from hdnet_jax.inference.opening import Source

# How far the channels of a gray mask may lie apart. Compressed masks wander at
# their edges, by up to 60 levels on 1 % of the pixels; a mask in colours is
# either far off somewhere or off in many places.
_TOLERANCE = 16 / 255
_FAR = 96 / 255
_FEW = 0.02
# A mask of more than this is most likely the wrong way round.
_ALMOST_ALL = 0.95


def read_mask(
  source: Source,
  size: tuple[int, int],
  resize: bool = False,
  invert: bool = False,
  max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
  """A mask as float32 [H, W], 0 to 1, for an image of `size`.

  The gray values are the mask. Where an alpha channel varies and what shows has
  one colour, white or another, alpha is the mask; else both are multiplied, so
  that what is transparent is background.

  Args:
    source: a path, a file's bytes, or an open binary file.
    size: the image's width and height.
    resize: whether a mask of another size is resized, bilinearly, to it.
    invert: whether black is foreground.
    max_pixels: see `decode`.

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
  mask = _mask(decoded)
  if decoded.size != tuple(size):
    resized = Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR)
    mask = np.asarray(resized).clip(0, 1)
  return 1 - mask if invert else mask


def mask_report(mask: np.ndarray) -> str | None:
  """What is odd about a mask [H, W] of 0 to 1, in a sentence; None if nothing.

  Odd are masks that cover nothing, almost everything, or nothing by half.
  """
  most, share = float(mask.max()), float((mask > 0.5).mean())
  if most <= 0:
    return (
      "The mask covers nothing, so nothing is changed; white is foreground: "
      "if it is black here, give --invert-mask."
    )
  if share > _ALMOST_ALL:
    return (
      f"The mask covers {share:.1%} of the image; white is foreground: if it "
      "is black here, give --invert-mask."
    )
  if most <= 0.5:
    return (
      f"The mask is nowhere more than {most:.1%} white, so little is changed; "
      "foreground is white."
    )
  return None


def _mask(decoded: Decoded) -> np.ndarray:
  """float32 [H, W], 0 to 1."""
  samples, alpha = _unit(decoded, decoded.samples), decoded.alpha
  if samples.ndim == 3 and samples.shape[2] == 4:  # CMYK: as black on white
    samples = (1 - samples[..., :3]) * (1 - samples[..., 3:])
  shown = None if alpha is None else alpha > 0
  if shown is not None and alpha.min() < alpha.max():
    visible = samples[shown]
    if np.ptp(visible, axis=0).max() <= _TOLERANCE:
      return _unit(decoded, alpha)
  if samples.ndim == 3:
    samples = _gray(decoded.name, samples, shown)
  return samples if alpha is None else samples * _unit(decoded, alpha)


def _gray(
  name: str, samples: np.ndarray, shown: np.ndarray | None
) -> np.ndarray:
  """The one channel that three equal ones are: [H, W] of [H, W, 3]."""
  apart = np.ptp(samples, axis=-1)
  if shown is not None:
    apart = np.where(shown, apart, 0)
  if apart.max() > _FAR or (apart > _TOLERANCE).mean() > _FEW:
    y, x = np.unravel_index(apart.argmax(), apart.shape)
    colour = ", ".join(f"{255 * value:.0f}" for value in samples[y, x])
    raise UserError(
      f"{name} has colours (red, green, blue = {colour} at x={x}, y={y}), and "
      "a mask must be gray: white for foreground, black for background; save "
      "it in gray"
    )
  return np.median(samples, axis=-1)  # of equal ones, exactly that


def _unit(decoded: Decoded, samples: np.ndarray) -> np.ndarray:
  """Samples as float32, 0 to 1."""
  if samples.dtype.kind == "f":
    good = np.isfinite(samples).all() and samples.min() >= 0
    if not good or samples.max() > 1:
      raise UserError(
        f"{decoded.name} has floating-point values that are NaN or not within "
        "0 to 1; save the mask in 8 bits"
      )
    return samples.astype(np.float32)
  if samples.dtype not in (np.uint8, np.uint16):
    raise UserError(
      f"{decoded.name} has 32-bit values over 65535; save the mask in 8 bits"
    )
  return samples.astype(np.float32) / np.iinfo(samples.dtype).max
