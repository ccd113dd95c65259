"""The kinds of images that Python callers have, and the way back to them."""

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
from hdnet_jax.inference.arrays import check_shape, mask_of, to_bytes


class HasArray(Protocol):
  """A tensor of another library, such as JAX or PyTorch."""

  def __array__(self) -> np.ndarray: ...


class HasDlpack(Protocol):
  """The same, of those that know the newer protocol alone."""

  def __dlpack__(self) -> Any: ...


Picture = Image.Image | np.ndarray | HasArray | HasDlpack | Source
# Of a harmonized array, what the caller gets.
Restore = Callable[[np.ndarray], Any]

_LUMA = (0.299, 0.587, 0.114)  # of gray, as Pillow makes it


class Composite(NamedTuple):
  """A composite's pixels [H, W, 3], its alpha, and the way back to its kind.

  orientation: EXIF's, of a file or PIL image.
  upright: whether the pixels were turned as that says; a PIL image's are not.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None
  restore: Restore
  orientation: int = 1
  upright: bool = False


def open_composite(composite: Picture) -> Composite:
  """A composite of any kind."""
  if isinstance(composite, Image.Image):
    return _open_image(composite)
  if (array := _array("composite", composite)) is not None:
    return _open_array(array)
  return _open_file(_source("composite", composite))


def _open_array(composite: np.ndarray) -> Composite:
  if composite.ndim != 3 or composite.shape[2] != 4:
    check_shape(composite)
    return Composite(composite, None, lambda result: result)
  colours, alpha = composite[..., :3], composite[..., 3]
  return Composite(
    colours,
    alpha,
    lambda result: np.concatenate((result, alpha[..., None]), -1),
  )


def _open_image(image: Image.Image) -> Composite:
  if image.mode in ("I", "F"):
    raise UserError(
      f"composite of mode {image.mode} has no known white; convert it to RGB, "
      "or give a float array in 0 to 1"
    )
  info, turned = _true_info(image), orientation_of_image(image)
  deep = image.mode.startswith("I;16")
  if not deep and image.mode not in ("RGB", "RGBA", "L", "LA"):
    info = {}  # such as a profile of other colours
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
  samples = np.asarray(image)
  if not samples.size:
    raise UserError(f"composite has no pixels; its size is {image.size}")
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
    colours,
    alpha,
    lambda result: _as_image(result, is_gray, alpha, info),
    turned,
  )


def _true_info(image: Image.Image) -> dict:
  """Its `info`, without a thumbnail that shows what was."""
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
    raise UserError("composite has no alpha to be its mask; give a mask")
  return masks.values("alpha", composite.alpha, ones=False)[0]


def open_mask(
  mask: Picture, composite: Composite
) -> tuple[np.ndarray, tuple[str, ...]]:
  """A mask of any kind as `masks.values` makes it, and what was turned of it.

  Both lie as the composite does: upright if that is a file, and as they are
  stored if it is a PIL image.
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


def _mask_values(mask: Picture) -> tuple[str, np.ndarray, int]:
  """A mask's name, its values as it is stored, and EXIF's orientation."""
  if isinstance(mask, Image.Image):
    values, _ = masks.values("mask", *masks.split(mask))
    return "mask", values, orientation_of_image(mask)
  if (array := _array("mask", mask)) is not None:
    return "mask", mask_of(array), 1
  decoded = decode(_source("mask", mask))
  values, _ = masks.values(decoded.name, *samples_of(decoded))
  stored = transforms.turn(values, transforms.inverse(decoded.orientation))
  return decoded.name, stored, decoded.orientation


def _array(name: str, value: Any) -> np.ndarray | None:
  """An array of this or another library, in native byte order; else None."""
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


def _source(name: str, value: Any) -> Source:
  """What a file is read from."""
  if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview):
    return value
  if hasattr(value, "read"):
    return value
  hint = "; or give mask_from_alpha=True" if name == "mask" else ""
  raise UserError(
    f"{name} is a PIL image, an array, a path, or a file's bytes, open or not, "
    f"not {type(value).__name__}{hint}"
  )
