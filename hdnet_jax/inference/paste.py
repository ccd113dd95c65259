"""Paste a cut-out on a photo: the composite, and the mask of the object."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images.color import convert_profile
from hdnet_jax.images.reading import Picture

_MAX_SIDE = 2.0**53  # pixels; floats count exactly up to it
_MARGIN = 2  # pixels around the shown ones that interpolation looks at


class Pasted(NamedTuple):
  """A cut-out on a photo.

  Attributes:
    photo: the photo with the alpha of the composite.
    pixels: the composite, of the photo's size and type, [H, W, 3].
    mask: the object, float32 [H, W] in 0 to 1.
    notes: sentences on what may be a mistake.
    here: the rows and columns of the photo where the cut-out is.
    colors: the cut-out's colors times its alpha, float32 [h, w, 3] in 0 to 1.
  """

  photo: Picture
  pixels: np.ndarray
  mask: np.ndarray
  notes: tuple[str, ...]
  here: tuple[slice, slice]
  colors: np.ndarray


def paste(
  cutout: Picture, photo: Picture, at: tuple[int, int], scale: float
) -> Pasted:
  """Paste a cut-out, its colours converted to the photo's profile.

  Only the part that is on the photo is resized.

  Args:
    cutout: with alpha.
    photo: what it goes on.
    at: x and y of the cut-out's upper left corner, in pixels of the photo; it
      may lie outside.
    scale: of the cut-out, above 0.

  Raises:
    UserError: for a cut-out without alpha, and one that is not on the photo.
  """
  if cutout.alpha is None:
    raise UserError(
      f"{cutout.name} has no transparency, so nothing tells what of it to "
      "paste; cut the object out, and save it as a PNG with alpha"
    )
  size = [max(round(min(side * scale, _MAX_SIDE)), 1) for side in cutout.size]
  spans = [
    (max(start, 0), min(start + length, side))
    for start, length, side in zip(at, size, photo.size, strict=True)
  ]
  if any(first >= last for first, last in spans):
    width, height = photo.size
    raise UserError(
      f"a cut-out of {size[0]}x{size[1]} at {at[0]},{at[1]} is not on "
      f"{photo.name}, which is {width}x{height}; choose --at and --scale"
    )
  windows = [
    _Window.of(first - start, last - start, length, side)
    for (first, last), start, length, side in zip(
      spans, at, size, cutout.size, strict=True
    )
  ]
  (left, right), (top, bottom) = spans
  here = slice(top, bottom), slice(left, right)
  colors, alpha, notes = _resize(cutout, photo, windows)
  pixels, photo_alpha = _over(colors, alpha, photo, here)
  mask = np.zeros(photo.pixels.shape[:2], np.float32)
  mask[here] = alpha
  least, most = cutout.alpha.min(), cutout.alpha.max()
  if least == most and least:
    notes.append(
      f"{cutout.name} has no transparent part, so all of it is pasted; cut the "
      "object out where that is not meant."
    )
  if not alpha.any():
    notes.append(f"All that is pasted of {cutout.name} is transparent.")
  photo = dataclasses.replace(photo, alpha=photo_alpha)
  return Pasted(photo, pixels, mask, tuple(notes), here, colors)


def lift(pasted: Pasted, changed: np.ndarray) -> Picture:
  """Return the changed object alone, as a layer over the photo.

  The photo with that layer on it is the changed composite; so at soft edges the
  layer's colours are the object's, without the photo's.

  Args:
    changed: the composite after harmonizing, float32 [H, W, 3] in 0 to 1.

  Returns:
    A picture of the photo's size, type and metadata, RGB with alpha, and
    transparent where nothing is pasted.
  """
  pixels, here = pasted.pixels, pasted.here
  alpha = pasted.mask[here][..., None]
  change = changed[here] - to_float(pixels[here])
  if (photo_alpha := pasted.photo.alpha) is not None:
    change *= to_float(photo_alpha[here])[..., None]
  colors = pasted.colors + change
  colors /= np.maximum(alpha, np.finfo(np.float32).tiny)
  layer = np.zeros_like(pixels)
  layer[here] = _to_integers(np.where(alpha > 0, colors, 0), pixels.dtype)
  return Picture(
    layer,
    _to_integers(pasted.mask, pixels.dtype),
    name="a layer",
    metadata=pasted.photo.metadata,
  )


class _Window(NamedTuple):
  """The part of the cut-out's rows or columns that is resized.

  samples: with the margin of interpolation.
  first, last: bounds of what is shown, counted from the start of `samples`.
  length: pixels after resizing.
  """

  samples: slice
  first: float
  last: float
  length: int

  @classmethod
  def of(cls, first: int, last: int, length: int, side: int) -> "_Window":
    """Make it for pixels first to last of the `length` that `side` becomes."""
    start, stop = first * side / length, last * side / length
    margin = math.ceil(side / length) + _MARGIN
    begin = max(math.floor(start) - margin, 0)
    end = min(math.ceil(stop) + margin, side)
    stop = min(stop, side)
    return cls(slice(begin, end), start - begin, stop - begin, last - first)


def _resize(
  cutout: Picture, photo: Picture, windows: list[_Window]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
  """Return colours times alpha, [h, w, 3] in 0 to 1, the alpha, and notes."""
  across, down = windows
  part = down.samples, across.samples
  if cutout.alpha is None:
    raise ValueError("a cut-out needs alpha")
  alpha = to_float(cutout.alpha[part])
  pixels, notes = convert_profile(cutout, photo, part)
  size = across.length, down.length
  box = across.first, down.first, across.last, down.last

  def resize(layer: np.ndarray) -> np.ndarray:
    # Bilinear: filters with negative lobes make colours exceed their alpha.
    image = Image.fromarray(layer)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))

  # Multiplied by alpha before resizing, so that hidden colours do not count.
  colors = [resize(to_float(pixels[..., c]) * alpha) for c in range(3)]
  return np.stack(colors, axis=-1), resize(alpha), notes


def _over(
  colors: np.ndarray, alpha: np.ndarray, photo: Picture, here: tuple
) -> tuple[np.ndarray, np.ndarray | None]:
  """Return the photo with colours times alpha over it, and its alpha."""
  pixels, photo_alpha = photo.pixels.copy(), photo.alpha
  below = 1 - alpha
  if photo_alpha is not None:
    below = below * to_float(photo_alpha[here])
  mixed = colors + below[..., None] * to_float(pixels[here])
  # Where nothing is pasted the photo stays, bit by bit.
  if photo_alpha is not None:
    total = alpha + below
    mixed /= np.maximum(total, np.finfo(np.float32).tiny)[..., None]
    photo_alpha = photo_alpha.copy()
    np.copyto(
      photo_alpha[here], _to_integers(total, photo_alpha.dtype), where=alpha > 0
    )
  np.copyto(
    pixels[here], _to_integers(mixed, pixels.dtype), where=alpha[..., None] > 0
  )
  return pixels, photo_alpha


def to_float(samples: np.ndarray) -> np.ndarray:
  """Convert integers to float32 in 0 to 1."""
  return samples / np.float32(np.iinfo(samples.dtype).max)


def _to_integers(samples: np.ndarray, dtype: np.dtype) -> np.ndarray:
  white = np.iinfo(dtype).max
  return np.rint(samples * white).clip(0, white).astype(dtype)
