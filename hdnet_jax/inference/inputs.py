"""Composites and masks as callers have them: arrays, PIL images, files."""

import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks, transforms
from hdnet_jax.images.exif import orientation_of_image, without_thumbnail
from hdnet_jax.images.mask_reading import fit, samples_of
from hdnet_jax.images.opening import Source
from hdnet_jax.images.reading import decode, read_picture
from hdnet_jax.inference import guided_filter


class Tensor(Protocol):
  """An array of another library; `__array__` will do, too."""

  def __dlpack__(self) -> Any: ...


Picture = Image.Image | np.ndarray | Tensor | Source
_LUMA = (0.299, 0.587, 0.114)  # Rec. 601, as Pillow's


class Scene(NamedTuple):
  """What is harmonized, as arrays.

  composite: uint8 or uint16, or float32 or float64 in 0 to 1; [H, W, 3].
  mask: 1 is the foreground; bool, or float32 in 0 to 1, [H, W].
  alpha: of the composite's type, [H, W]; None where it is opaque.
  """

  composite: np.ndarray
  mask: np.ndarray
  alpha: np.ndarray | None = None


def check_scene(scene: Scene) -> Scene:
  """Check a caller's scene; convert its mask as `mask_of_array` does.

  Raises:
    UserError: for other shapes, types and values.
  """
  composite, mask, alpha = scene
  _check_shape(composite)
  white = guided_filter.white_level(composite.dtype)
  if composite.dtype.kind == "f":
    least, most = composite.min(), composite.max()
    if not (least >= 0 and most <= 1):  # NaN is neither
      raise UserError(
        f"composite of {composite.dtype} is in 0 to 1, not {least:g} to "
        f"{most:g}; scale or clip it"
      )
  size = composite.shape[:2]
  if alpha is not None:
    if (alpha.shape, alpha.dtype) != (size, composite.dtype):
      raise UserError("alpha is of the composite's height, width and type")
    if alpha.min() == white:
      alpha = None
  if mask.shape[:2] != size:
    raise UserError(f"mask is {size} for its composite, not {mask.shape}")
  return Scene(composite, mask_of_array(mask), alpha)


def mask_of_array(mask: np.ndarray) -> np.ndarray:
  """Return a mask as bool [H, W], or soft, as float32 [H, W] in 0 to 1.

  Args:
    mask: [H, W] or [H, W, C]; `masks.values` says what is white in it. The last
      of two or four channels is alpha.

  Raises:
    UserError: for another shape, type or value.
  """
  if not mask.size:
    raise UserError(f"mask has no pixels; its shape is {mask.shape}")
  if mask.ndim not in (2, 3):
    raise UserError(f"mask is [height, width], not {mask.shape}")
  channels = mask.shape[2] if mask.ndim == 3 else 1
  if channels in (2, 4):
    return masks.values("mask", mask[..., :-1], mask[..., -1])[0]
  if channels not in (1, 3):
    raise UserError(f"mask has 1 to 4 channels, not {channels}{_hint(mask)}")
  return masks.values("mask", mask)[0]


def to_uint8(image: np.ndarray) -> np.ndarray:
  """Round an image of any type of `white_level` to uint8."""
  if image.dtype == np.uint8:
    return image
  result = np.empty(image.shape, np.uint8)
  scale = np.float32(255 / guided_filter.white_level(image.dtype))
  for rows in guided_filter.row_blocks(*image.shape[:2]):
    result[rows] = np.rint(image[rows].astype(np.float32) * scale)
  return result


class Composite(NamedTuple):
  """A composite's pixels [H, W, 3] and alpha [H, W], and the way back.

  restore: converts harmonized pixels to what the caller gets.
  orientation: EXIF's, of a file or PIL image.
  upright: whether the pixels were turned as that says; a PIL image's are not.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None
  restore: Callable[[np.ndarray], Any]
  orientation: int = 1
  upright: bool = False


def open_composite(composite: Picture) -> Composite:
  """Open a composite of any kind.

  Raises:
    UserError: where it is none, or cannot be read.
  """
  if isinstance(composite, Image.Image):
    return _open_image(composite)
  if (array := _as_array("composite", composite)) is not None:
    return _open_array(array)
  return _open_file(_as_source("composite", composite))


def open_mask(
  mask: Picture | None, composite: Composite
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Open a mask of any kind and lay it on the composite's pixels.

  Returns:
    The mask as from `mask_of_array`, and notes on how it was turned.

  Raises:
    UserError: where it is no mask, cannot be read, or does not fit.
  """
  name, values, own = _mask_values(mask)
  turned, undone = composite.orientation, 1
  if not composite.upright:
    undone = turned = transforms.inverse(turned)
  if own != 1:
    values = transforms.turn(transforms.turn(values, own), undone)
  size = composite.pixels.shape[1], composite.pixels.shape[0]
  own = own if undone == 1 else 1
  laid = fit(name, values.shape[::-1], size, own, turned)
  return laid(values), laid.notes


def mask_of_alpha(composite: Composite) -> np.ndarray:
  """Return the composite's alpha as its mask."""
  if composite.alpha is None:
    raise UserError("composite has no alpha to be its mask; give a mask")
  return masks.values("alpha", composite.alpha, ones=False)[0]


def _check_shape(composite: np.ndarray) -> None:
  shape = composite.shape
  if not composite.size:
    raise UserError(f"composite has no pixels; its shape is {shape}")
  if composite.ndim != 3 or shape[-1] != 3:
    raise UserError(
      f"composite is [height, width, 3], or 4 with alpha, not {shape}"
      + _hint(composite)
    )


def _hint(array: np.ndarray) -> str:
  if array.ndim == 3 and array.shape[0] in (1, 3, 4):
    return "; channels come last: transpose it"
  return ""


def _open_array(composite: np.ndarray) -> Composite:
  if composite.ndim != 3 or composite.shape[2] != 4:
    _check_shape(composite)
    return Composite(composite, None, lambda result: result)
  alpha = composite[..., 3]
  return Composite(
    composite[..., :3],
    alpha,
    lambda result: np.concatenate((result, alpha[..., None]), -1),
  )


def _open_image(image: Image.Image) -> Composite:
  if image.mode in ("I", "F"):
    raise UserError(
      f"composite of mode {image.mode} has no known white; convert it to RGB, "
      "or give a float array in 0 to 1"
    )
  info, turned = _info(image), orientation_of_image(image)
  deep = image.mode.startswith("I;16")
  if not deep and image.mode not in ("RGB", "RGBA", "L", "LA"):
    info = {}  # such as a profile of other colours
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
  samples = np.asarray(image)
  if not samples.size:
    raise UserError(f"composite has no pixels; its size is {image.size}")
  alpha = samples[..., -1] if image.mode.endswith("A") else None
  is_gray = deep or image.mode in ("L", "LA")
  if is_gray:
    levels = samples if samples.ndim == 2 else samples[..., 0]
    # To native byte order: I;16B has the other.
    levels = levels.astype(np.uint16 if deep else np.uint8)
    colors = np.repeat(levels[..., None], 3, axis=-1)
  else:
    colors = np.ascontiguousarray(samples[..., :3])
  return Composite(
    colors,
    alpha,
    lambda result: _as_image(result, is_gray, alpha, info),
    turned,
  )


def _info(image: Image.Image) -> dict:
  """Return an image's `info` without the thumbnail of the old image."""
  info = dict(image.info)
  if isinstance(info.get("exif"), bytes):
    try:
      info["exif"] = without_thumbnail(info["exif"])
    except (ValueError, struct.error):
      del info["exif"]  # damaged
  return info


def _open_file(source: Source) -> Composite:
  picture = read_picture(source)
  metadata = picture.metadata
  info = {
    "icc_profile": None if picture.color_space == "CMYK" else metadata.icc,
    "exif": metadata.exif,
    "dpi": metadata.dpi,
  }
  info = {name: value for name, value in info.items() if value is not None}
  is_gray = picture.color_space == "gray"
  return Composite(
    picture.pixels,
    picture.alpha,
    lambda result: _as_image(result, is_gray, picture.alpha, info),
    picture.orientation,
    upright=True,
  )


def _as_image(
  pixels: np.ndarray, is_gray: bool, alpha: np.ndarray | None, info: dict
) -> Image.Image:
  """Return [H, W, 3] as L, LA, I;16, RGB or RGBA; the last two have 8 bits."""
  if is_gray:  # of three equal values, that value
    pixels = np.rint(pixels @ np.array(_LUMA)).astype(pixels.dtype)
  if alpha is not None:
    pixels = np.dstack([to_uint8(pixels), to_uint8(alpha)])
  elif not is_gray:
    pixels = to_uint8(pixels)
  image = Image.fromarray(pixels)
  image.info = info
  return image


def _mask_values(mask: Any) -> tuple[str, np.ndarray, int]:
  """Return a mask's name, its values as stored, and EXIF's orientation."""
  if isinstance(mask, Image.Image):
    values, _ = masks.values("mask", *masks.split(mask))
    return "mask", values, orientation_of_image(mask)
  if (array := _as_array("mask", mask)) is not None:
    return "mask", mask_of_array(array), 1
  decoded = decode(_as_source("mask", mask))
  values, _ = masks.values(decoded.name, *samples_of(decoded))
  stored = transforms.turn(values, transforms.inverse(decoded.orientation))
  return decoded.name, stored, decoded.orientation


def _as_array(name: str, value: Any) -> np.ndarray | None:
  """Convert any library's array to NumPy, in native byte order; else None."""
  try:
    if hasattr(value, "__array__"):
      array = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
      array = np.from_dlpack(value)
    else:
      return None
  except (TypeError, RuntimeError, ValueError, BufferError) as error:
    words = " ".join(str(error).split())
    raise UserError(
      f"{name} cannot be taken as an array ({words}); give it detached, and in "
      "the machine's own memory: of PyTorch, tensor.detach().cpu()"
    ) from None
  return array.astype(array.dtype.newbyteorder("="), copy=False)


def _as_source(name: str, value: Any) -> Source:
  kinds = str | os.PathLike | bytes | bytearray | memoryview
  if isinstance(value, kinds) or hasattr(value, "read"):
    return value
  hint = "; or give mask_from_alpha=True" if name == "mask" else ""
  raise UserError(
    f"{name} is a PIL image, an array, a path, or a file's bytes, open or not, "
    f"not {type(value).__name__}{hint}"
  )
