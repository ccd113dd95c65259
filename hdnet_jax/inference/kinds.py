"""The kinds of images that Python callers have, and the way back to them."""

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hdnet_jax import masks
from hdnet_jax.inference.arrays import as_mask, to_bytes

Picture = Image.Image | np.ndarray | str | os.PathLike
# Of a harmonized array, what the caller gets.
Restore = Callable[[np.ndarray], Any]

_LUMA = (0.299, 0.587, 0.114)  # of gray, as Pillow makes it


class Composite(NamedTuple):
  """A composite's pixels [H, W, 3], its alpha, and the way back to its kind."""

  pixels: np.ndarray
  alpha: np.ndarray | None
  restore: Restore


def open_composite(composite: Picture) -> Composite:
  """A composite of any kind."""
  if isinstance(composite, np.ndarray):
    return _open_array(composite)
  if isinstance(composite, Image.Image):
    return _open_image(composite)
  return _open_file(_path("composite", composite))


def _open_array(composite: np.ndarray) -> Composite:
  if composite.ndim != 3 or composite.shape[2] != 4:
    return Composite(composite, None, lambda result: result)
  colours, alpha = composite[..., :3], composite[..., 3]
  return Composite(
    colours,
    alpha,
    lambda result: np.concatenate((result, alpha[..., None]), -1),
  )


def _open_image(image: Image.Image) -> Composite:
  if image.mode in ("I", "F"):
    raise ValueError(
      f"composite of mode {image.mode} has no known white; convert it to RGB, "
      "or give a float array in 0 to 1"
    )
  info = dict(image.info)
  deep = image.mode.startswith("I;16")
  if not deep and image.mode not in ("RGB", "RGBA", "L", "LA"):
    info = {}  # such as a profile of other colours
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
  samples = np.asarray(image)
  is_gray = deep or image.mode in ("L", "LA")
  alpha = samples[..., -1] if image.mode.endswith("A") else None
  if not is_gray:
    colours = np.ascontiguousarray(samples[..., :3])
  else:
    levels = samples if samples.ndim == 2 else samples[..., 0]
    # Pillow's I;16B is of the other order of bytes.
    levels = levels.astype(np.uint16 if deep else np.uint8)
    colours = np.repeat(levels[..., None], 3, axis=-1)
  return Composite(
    colours, alpha, lambda result: _as_image(result, is_gray, alpha, info)
  )


def _open_file(path: pathlib.Path) -> Composite:
  # Only here: arrays need no readers.
  from hdnet_jax.inference.files import read_picture

  picture = read_picture(path)
  info = {
    "icc_profile": None if picture.kind == "CMYK" else picture.icc,
    "exif": picture.exif,
    "dpi": picture.dpi,
  }
  info = {name: value for name, value in info.items() if value is not None}
  is_gray = picture.kind == "gray"
  return Composite(
    picture.pixels,
    picture.alpha,
    lambda result: _as_image(result, is_gray, picture.alpha, info),
  )


def _as_image(
  pixels: np.ndarray, is_gray: bool, alpha: np.ndarray | None, info: dict
) -> Image.Image:
  """[H, W, 3] as L, LA, I;16, RGB or RGBA; the latter two have 8 bits."""
  samples = _gray(pixels) if is_gray else pixels
  if alpha is not None:
    samples = np.dstack([to_bytes(samples), to_bytes(alpha)])
  elif not is_gray:
    samples = to_bytes(samples)
  image = Image.fromarray(samples)
  image.info = info
  return image


def _gray(colours: np.ndarray) -> np.ndarray:
  """[H, W]; of three equal values it is that value."""
  return np.rint(colours @ np.array(_LUMA)).astype(colours.dtype)


def mask_of_alpha(composite: Composite) -> np.ndarray:
  """The composite's alpha as its mask."""
  if composite.alpha is None:
    raise ValueError("composite has no alpha to be its mask; give a mask")
  return masks.values("alpha", composite.alpha, ones=False)[0]


def open_mask(mask: Picture, size: tuple[int, int]) -> np.ndarray:
  """A mask of any kind, as `as_mask` makes it; `size` is height and width."""
  if isinstance(mask, Image.Image):
    if mask.size != size[::-1]:
      raise ValueError(
        f"mask is {size} for its composite, not {mask.size[::-1]}"
      )
    return masks.values("mask", *masks.split(mask))[0]
  if not isinstance(mask, np.ndarray):
    from hdnet_jax.inference.masks import read_mask

    mask, _ = read_mask(_path("mask", mask), size[::-1])
  return as_mask(mask, size)


def _path(name: str, value: Any) -> pathlib.Path:
  if isinstance(value, str | os.PathLike):
    return pathlib.Path(value)
  hint = "; or give mask_from_alpha=True" if name == "mask" else ""
  raise ValueError(
    f"{name} is a PIL image, a NumPy array or a path, not "
    f"{type(value).__name__}{hint}"
  )
