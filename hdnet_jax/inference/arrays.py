"""Arrays as callers have them: which images and masks are taken, and how."""

from typing import NamedTuple

import numpy as np

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.inference import guided_filter

Pair = tuple[np.ndarray, np.ndarray]  # an image and its mask


class Scene(NamedTuple):
  """A composite, its mask, and its alpha, or None where it is opaque."""

  composite: np.ndarray
  mask: np.ndarray
  alpha: np.ndarray | None = None


def as_scene(
  composite: np.ndarray, mask: np.ndarray, alpha: np.ndarray | None = None
) -> Scene:
  """The composite, what `as_mask` makes of the mask, and alpha if it matters.

  Args:
    composite: uint8 or uint16, or float32 or float64 in 0 to 1; [H, W, 3].
    mask: of the composite's height and width.
    alpha: of the composite's type, [H, W].

  Raises:
    UserError: for another shape, type or value.
  """
  check_shape(composite)
  shape = composite.shape
  guided_filter.peak(composite.dtype)
  if composite.dtype.kind == "f":
    _check_range("composite", composite)
  if alpha is not None:
    if (alpha.shape, alpha.dtype) != (shape[:2], composite.dtype):
      raise UserError("alpha is of the composite's height, width and type")
    if alpha.min() == guided_filter.peak(alpha.dtype):
      alpha = None
  return Scene(composite, as_mask(mask, shape[:2]), alpha)


def check_shape(composite: np.ndarray) -> None:
  """Raises UserError for what is not [H, W, 3], or empty."""
  shape = composite.shape
  if not composite.size:
    raise UserError(f"composite has no pixels; its shape is {shape}")
  if composite.ndim != 3 or shape[-1] != 3:
    raise UserError(
      f"composite is [height, width, 3], or 4 with alpha, not {shape}"
      + _last(composite)
    )


def as_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """A mask as bool [H, W], or soft, as float32 [H, W] in 0 to 1.

  Args:
    mask: [H, W] or [H, W, C], of which `masks.values` says what is white; of
      two or four channels the last is alpha.
    size: height and width that it must have.

  Raises:
    UserError: for another size, type or value.
  """
  if mask.shape[:2] != size:
    raise UserError(f"mask is {size} for its composite, not {mask.shape}")
  return mask_of(mask)


def mask_of(mask: np.ndarray) -> np.ndarray:
  """As `as_mask`, of any size."""
  if not mask.size:
    raise UserError(f"mask has no pixels; its shape is {mask.shape}")
  if mask.ndim not in (2, 3):
    raise UserError(f"mask is [height, width], not {mask.shape}")
  channels = mask.shape[2] if mask.ndim == 3 else 1
  if channels in (2, 4):
    return masks.values("mask", mask[..., :-1], mask[..., -1])[0]
  if channels not in (1, 3):
    raise UserError(f"mask has 1 to 4 channels, not {channels}{_last(mask)}")
  return masks.values("mask", mask)[0]


def _last(array: np.ndarray) -> str:
  """A hint for arrays whose channels come first."""
  if array.ndim == 3 and array.shape[0] in (1, 3, 4):
    return "; channels come last: transpose it"
  return ""


def to_bytes(image: np.ndarray) -> np.ndarray:
  """An image of any type of `guided_filter.peak` as uint8, rounded."""
  if image.dtype == np.uint8:
    return image
  result = np.empty(image.shape, np.uint8)
  scale = np.float32(255 / guided_filter.peak(image.dtype))
  for band in guided_filter.bands(*image.shape[:2]):
    result[band] = np.rint(image[band].astype(np.float32) * scale)
  return result


def _check_range(name: str, values: np.ndarray) -> None:
  least, most = values.min(), values.max()
  if not (least >= 0 and most <= 1):  # NaN is neither
    raise UserError(
      f"{name} of {values.dtype} is in 0 to 1, not {least:g} to {most:g}; "
      "scale or clip it"
    )
