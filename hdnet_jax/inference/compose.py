"""A cut-out pasted on a photo: the composite, and the mask of the object."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images.color import convert_profile
from hdnet_jax.images.reading import Picture

_LARGEST = 2.0**53  # pixels of a side, that floats count exactly
_BEYOND = 2  # pixels that interpolation looks at besides those that are shown


class Pasted(NamedTuple):
  """A cut-out on a photo.

  photo: as it was, but for its alpha, which is that of the object over it.
  pixels: the composite, of the photo's size and type, [H, W, 3].
  mask: how much of a pixel is the object, float32 [H, W] in 0 to 1.
  notes: sentences on what may not be as it is meant.
  """

  photo: Picture
  pixels: np.ndarray
  mask: np.ndarray
  notes: tuple[str, ...]


def paste(
  cutout: Picture, photo: Picture, at: tuple[int, int], scale: float
) -> Pasted:
  """The composite. Only what of the cut-out is on the photo is resized.

  Its colours are converted to the photo's profile.

  Args:
    cutout: with alpha, which is what of it is pasted.
    photo: what it goes on.
    at: where the cut-out's left upper corner goes, x and y in pixels of the
      photo; what lies outside of it is left out.
    scale: of the cut-out, above 0.

  Raises:
    UserError: for a cut-out without alpha, and one that is not on the photo.
  """
  if cutout.alpha is None:
    raise UserError(
      f"{cutout.name} has no transparency, so nothing tells what of it to "
      "paste; cut the object out, and save it as a PNG with alpha"
    )
  size = [max(round(min(side * scale, _LARGEST)), 1) for side in cutout.size]
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
  colours, alpha, notes = _resized(cutout, photo, windows)
  pixels, photo_alpha = _over(colours, alpha, photo, here)
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
  return Pasted(photo, pixels, mask, tuple(notes))


class _Window(NamedTuple):
  """What of a row or column of the cut-out is resized, and to how much."""

  samples: slice  # with those around that interpolation looks at
  first: float  # of what is shown, from the slice's start on
  last: float
  length: int

  @classmethod
  def of(cls, first: int, last: int, length: int, side: int) -> "_Window":
    """Of pixels first to last of the cut-out's `side` resized to `length`."""
    start, stop = first * side / length, last * side / length
    reach = math.ceil(side / length) + _BEYOND
    begin = max(math.floor(start) - reach, 0)
    end = min(math.ceil(stop) + reach, side)
    stop = min(stop, side)
    return cls(slice(begin, end), start - begin, stop - begin, last - first)


def _resized(
  cutout: Picture, photo: Picture, windows: list[_Window]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
  """Colours of 0 to 1 multiplied by alpha, [h, w, 3], and alpha; and notes."""
  across, down = windows
  part = down.samples, across.samples
  # Multiplied before it is resized: what is transparent has no colour.
  alpha = _unit(cutout.alpha[part])
  pixels, notes = convert_profile(cutout, photo, part)
  size, box = (across.length, down.length), [across.first, down.first]
  box += [across.last, down.last]

  def resize(layer: np.ndarray) -> np.ndarray:
    # Without negative lobes, colours and alpha cannot overshoot apart.
    image = Image.fromarray(layer)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))

  colours = [resize(_unit(pixels[..., c]) * alpha) for c in range(3)]
  return np.stack(colours, axis=-1), resize(alpha), notes


def _over(
  colours: np.ndarray, alpha: np.ndarray, photo: Picture, here: tuple
) -> tuple[np.ndarray, np.ndarray | None]:
  """The photo with colours over it, and its alpha."""
  pixels, behind = photo.pixels.copy(), photo.alpha
  white = np.iinfo(pixels.dtype).max
  below = (1 - alpha) if behind is None else (1 - alpha) * _unit(behind[here])
  mixed = colours + below[..., None] * _unit(pixels[here])
  if behind is not None:
    together = alpha + below
    mixed /= np.maximum(together, np.finfo(np.float32).tiny)[..., None]
    behind = behind.copy()
    peak = np.iinfo(behind.dtype).max
    shown = np.rint(together * peak).clip(0, peak).astype(behind.dtype)
    behind[here] = np.where(alpha > 0, shown, behind[here])
  mixed = np.rint(mixed * white).clip(0, white).astype(pixels.dtype)
  # Where nothing is pasted the photo stays, bit by bit.
  pixels[here] = np.where(alpha[..., None] > 0, mixed, pixels[here])
  return pixels, behind


def _unit(samples: np.ndarray) -> np.ndarray:
  """Integers as float32, 0 to 1."""
  return samples / np.float32(np.iinfo(samples.dtype).max)
