"""The Example, and how image files become one.

An Example is a dict of NumPy arrays:

  real       uint8 [H, W, 3]  the photo, RGB, 0 to 255
  mask       uint8 [H, W, 1]  1 = foreground, 0 = background
  composite  uint8 [H, W, 3]  the photo with a foreground that does not fit;
                              absent where composites are made on the device
  index      int32 []         the example's place in its source

Names and subsets stay on the host: `source.name(index)`.
"""

import pathlib
from typing import Protocol

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks, opening
from hdnet_jax.images.exif import orientation_of_image
from hdnet_jax.images.opening import MISSING as MISSING
from hdnet_jax.images.opening import TOO_LARGE as TOO_LARGE
from hdnet_jax.images.opening import TRUNCATED as TRUNCATED
from hdnet_jax.images.opening import UNREADABLE as UNREADABLE
from hdnet_jax.images.transforms import resize_image, resize_mask, turn_image

Example = dict[str, np.ndarray]


class Source(Protocol):
  """Random access to a split's examples; safe to read from threads."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Example: ...

  def name(self, index: int) -> str:
    """Return the example's name, such as its file's."""
    ...

  def subset(self, index: int) -> str:
    """Return the part of the data set that the example belongs to."""
    ...


# Where Pillow itself begins to warn of images that fill the memory.
MAX_PIXELS = 89_000_000


class BadImage(UserError):
  """A bad image file; `kind` is MISSING, UNREADABLE, TRUNCATED or TOO_LARGE."""

  def __init__(self, path: pathlib.Path, kind: str, detail: str):
    self.path, self.kind, self.detail = path, kind, detail
    super().__init__(
      f"{path} does not exist; restore it, or take it off its list"
      if kind == MISSING
      else f"{path} cannot be read as an image ({detail}); replace or remove it"
    )


def read_image(path: pathlib.Path, size: int) -> np.ndarray:
  """Read an RGB image, resized to `size` x `size`, antialiased."""
  return np.asarray(resize_image(open_image(path), size))


def read_mask(path: pathlib.Path, size: int) -> np.ndarray:
  """Read a mask as uint8 [size, size, 1]: 1 where it is over half white."""
  return mask_pixels(resize_mask(gray(open_image(path)), size))


def gray(mask: Image.Image) -> Image.Image:
  """Convert a mask of any mode to 8-bit gray ("L"), whose white is 255.

  Raises:
    masks.BadMask: as `masks.values` does.
  """
  if (channel := masks.plain(mask)) is not None:
    # The same for most masks, in a fraction of the time.
    most = np.max(channel.getextrema())
    return channel if most > 1 else channel.point(lambda level: 255 * level)
  name = mask.info.get("name", "the mask")
  soft, _ = masks.values(name, *masks.split(mask))
  return Image.fromarray(np.rint(soft * np.float32(255)).astype(np.uint8))


def mask_pixels(mask: Image.Image) -> np.ndarray:
  """Convert a gray mask to uint8 [H, W, 1]: 1 where it is over half white."""
  return (np.asarray(mask) > 127).astype(np.uint8)[..., None]


def open_image(
  path: pathlib.Path,
  max_pixels: int = MAX_PIXELS,
  source: bytes | None = None,
) -> Image.Image:
  """Decode an image, and turn it upright.

  The result's `info` has the path as "name" and, if the image was turned, its
  EXIF orientation, 2 to 8, as "orientation".

  Args:
    source: the bytes of a file inside a zip file; `path` then only names it.

  Raises:
    BadImage: if the file is missing, cut off or no image, or has more than
      `max_pixels` pixels, which is found before they are decoded.
  """
  # Pillow refuses images of more than twice its own limit.
  limit = min(max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or max_pixels))
  try:
    with opening.open_image(
      path if source is None else source, limit, any_format=True
    ) as file:
      file.image.load()
      turned = orientation_of_image(file.image)
      image = turn_image(file.image, turned)
  except opening.ImageError as error:
    raise BadImage(path, error.kind, error.detail) from None
  image.info["name"] = str(path)
  if turned != 1:
    image.info["orientation"] = turned
  return image
