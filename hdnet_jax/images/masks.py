"""Tell what in a mask is white, and what is odd about it.

White is foreground. Gray is in between, and blends. Files, arrays, PIL images,
videos, the web page and training data all come through `values`.

In floats, white is 1. In integers, it is 1 if no value is above 1; else 255 if
none is above 255; else the most that 16 bits hold. If alpha varies, it is the
mask, as in a cut-out. But if the visible pixels are black and white themselves,
the mask is their product with alpha, so that transparent pixels are background.
"""

import numpy as np
from PIL import Image, ImageChops

from hdnet_jax.errors import UserError

# How far the channels of a gray mask may lie apart. Compressed masks wander at
# their edges, by up to 60 levels on 1 % of the pixels; a mask in colors is
# either far off somewhere or off in many places.
_TOLERANCE = 16 / 255
_FAR = 96 / 255
_FEW = 0.02
# What is darker or lighter than this is black or white; a photo is in between.
_BLACK, _WHITE = 32 / 255, 223 / 255
# A mask of more than this is most likely the wrong way round.
ALMOST_ALL = 0.95


class BadMask(UserError):
  """An image that is no mask; `detail` says why without its name."""

  def __init__(self, name: str, detail: str):
    self.detail = detail
    super().__init__(f"{name} {detail}")


def split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
  """Return the samples of a PIL image, gray or RGB, and its alpha."""
  if (channel := plain(image)) is not None:
    return np.asarray(channel), None
  if image.mode.startswith("I;16"):
    return np.asarray(image).astype(np.uint16), None  # of either byte order
  if image.mode in ("I", "F"):
    return np.asarray(image), None
  if image.has_transparency_data:
    samples = np.asarray(image.convert("RGBA"))
    return samples[..., :3], samples[..., 3]
  return np.asarray(image.convert("RGB")), None


def plain(image: Image.Image) -> Image.Image | None:
  """Return the one 8-bit channel ("L") of an opaque gray image, or None."""
  if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
    return None
  if image.mode in ("1", "L"):
    return image.convert("L")
  red, *others = image.convert("RGB").split()
  same = all(
    ImageChops.difference(red, other).getbbox() is None for other in others
  )
  return red if same else None


def values(
  name: str,
  samples: np.ndarray,
  alpha: np.ndarray | None = None,
  ones: bool = True,
) -> tuple[np.ndarray, list[str]]:
  """Return the mask that samples stand for, and notes on how they are read.

  Args:
    name: of the mask, for errors and notes.
    samples: bool, integers, or floats of 0 to 1; [H, W], or [H, W, C] with one
      channel or three equal ones.
    alpha: [H, W] of such values, or None.
    ones: whether 1 may be white in integers; False if it is known not to be, as
      where other masks of the same video have larger values.

  Returns:
    bool [H, W] of bool, and of integers whose white is 1; else float32 [H, W]
    in 0 to 1.

  Raises:
    BadMask: for colours, and for values that are NaN, negative or too large.
  """
  if not samples.size:
    raise BadMask(name, f"has no pixels; its shape is {samples.shape}")
  if alpha is None or alpha.min() == alpha.max():
    shown = _gray(name, samples, alpha)
  elif _is_drawing(samples, alpha):
    shown = np.where(alpha > 0, _gray(name, samples, alpha), 0)
  else:
    mask, notes = _scaled(name, alpha, ones)
    return mask, [*notes, f"Of {name} the alpha channel is the mask."]
  mask, notes = _scaled(name, shown.astype(samples.dtype, copy=False), ones)
  if alpha is not None:
    mask = mask * _scaled(name, alpha, ones=False)[0]
  return mask, notes


def report(
  mask: np.ndarray, remedy: str, alpha: np.ndarray | None = None
) -> str | None:
  """Return a sentence on a mask that covers nothing, or almost everything.

  Args:
    mask: [H, W], 0 to 1.
    remedy: what to do if the object is black in the mask; "" if nothing can be.
    alpha: [H, W], of the image: where it is 0, there is neither foreground nor
      background.

  Returns:
    None if there is nothing to report.
  """
  inside = mask > 0.5
  most, share = float(mask.max()), float(inside.mean())
  invert = f"; white is foreground: if it is black here, {remedy}"
  invert = invert if remedy else ""
  if most <= 0:
    return f"The mask covers nothing, so nothing is changed{invert}."
  if alpha is not None and inside.any():
    inside = inside[alpha > 0]
    if not inside.any():
      return (
        "The mask covers only what is transparent in the image, so nothing is "
        f"changed{invert}."
      )
    if inside.all():
      return (
        "All that the mask leaves of the image is transparent, so that there "
        "is nothing to fit the object to, and nothing is changed."
      )
    share = float(inside.mean())
  if share > ALMOST_ALL:
    return (
      f"The mask covers {share:.1%} of the image, which leaves little to fit "
      f"to{invert}."
    )
  if most <= 0.5:
    return (
      f"The mask is nowhere more than {most:.1%} white, so nothing is changed; "
      "foreground is white."
    )
  return None


def _is_drawing(samples: np.ndarray, alpha: np.ndarray) -> bool:
  """Return whether visible pixels are gray, mostly black or white, and vary."""
  visible = samples[alpha > 0]
  white = _white(visible, ones=True) or 1
  if visible.ndim == 2:
    if np.ptp(visible, axis=-1).max() > _TOLERANCE * white:
      return False
    visible = visible[:, 0]
  if float(visible.max()) - float(visible.min()) <= _TOLERANCE * white:
    return False
  plain = (visible <= _BLACK * white) | (visible >= _WHITE * white)
  return plain.mean() > 0.5


def _gray(
  name: str, samples: np.ndarray, alpha: np.ndarray | None
) -> np.ndarray:
  """Return one channel [H, W] of samples whose channels are equal."""
  if samples.ndim == 2:
    return samples
  if samples.shape[2] == 1:
    return samples[..., 0]
  white = _white(samples, ones=True) or 1
  apart = np.ptp(
    samples.view(np.uint8) if samples.dtype == bool else samples, -1
  )
  if alpha is not None:
    apart = np.where(alpha > 0, apart, 0)
  if not apart.any():
    return samples[..., 0]
  if apart.max() > _FAR * white or (apart > _TOLERANCE * white).mean() > _FEW:
    y, x = np.unravel_index(apart.argmax(), apart.shape)
    color = ", ".join(f"{255 / white * value:.0f}" for value in samples[y, x])
    raise BadMask(
      name,
      f"has colours (red, green, blue = {color} at x={x}, y={y}), and a mask "
      "must be gray: white for foreground, black for background; save it in "
      "gray",
    )
  middle = np.median(samples, axis=-1)
  return middle.astype(samples.dtype)  # of three values it is one of them


def _scaled(
  name: str, samples: np.ndarray, ones: bool
) -> tuple[np.ndarray, list[str]]:
  """Scale samples [H, W] to float32 in 0 to 1, or bool; return notes, too."""
  if samples.dtype == bool:
    return samples, []
  if samples.dtype.kind == "f":
    least, most = samples.min(), samples.max()
    if not (least >= 0 and most <= 1):  # NaN is neither
      raise BadMask(
        name,
        "has floating-point values that are NaN or not within 0 to 1 "
        f"({least:g} to {most:g}); scale or clip them, or save it in 8 bits",
      )
    return samples.astype(np.float32, copy=False), []
  if samples.dtype.kind not in "iu":
    raise BadMask(
      name,
      f"is bool, integers, or floats in 0 to 1, not {samples.dtype}",
    )
  white = _white(samples, ones)
  if samples.min() < 0 or white is None:
    raise BadMask(
      name,
      f"has values of {samples.min()} to {samples.max()}, and a mask's are "
      "from 0 to 1, 255 or 65535 (32-bit values over 65535 are none); save it "
      "in 8 bits",
    )
  if white == 1:
    mask = samples > 0
    said = f"{name} has no value above 1: 1 is white in it."
    return mask, [said] if mask.any() else []
  notes = []
  if white == 255 and samples.dtype.itemsize > 1 and samples.any():
    notes.append(f"{name} has no value above 255: 255 is white in it.")
  return samples / np.float32(white), notes


def _white(samples: np.ndarray, ones: bool) -> int | None:
  """Return the value of white in samples; None if one is too large."""
  if samples.dtype.kind not in "iu":
    return 1
  most, limit = int(samples.max()), int(np.iinfo(samples.dtype).max)
  for white in (1, 255, 65535)[not ones :]:
    if most <= white:
      return min(white, limit)
  return None
