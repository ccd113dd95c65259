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
from PIL import Image, UnidentifiedImageError

from hdnet_jax.errors import UserError

Example = dict[str, np.ndarray]


class Source(Protocol):
  """Random access to a split's examples; safe to read from threads."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Example: ...

  def name(self, index: int) -> str:
    """What a person calls this example: its file's name, say."""

  def subset(self, index: int) -> str:
    """The part of the data set that it belongs to."""


def read_image(path: pathlib.Path, size: int) -> np.ndarray:
  """The RGB image at `path`, resized to `size` x `size`, antialiased."""
  return np.asarray(
    _open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
  )


def read_mask(path: pathlib.Path, size: int) -> np.ndarray:
  """The mask at `path` as uint8 0/1 [size, size, 1]; over half is white."""
  mask = _open(path).convert("L").resize((size, size), Image.Resampling.NEAREST)
  return (np.asarray(mask) > 127).astype(np.uint8)[..., None]


def _open(path: pathlib.Path) -> Image.Image:
  """The decoded image; raises UserError, naming the file."""
  try:
    with Image.open(path) as image:
      image.load()
      return image
  except FileNotFoundError:
    raise UserError(
      f"{path} does not exist; restore it, or take it off its list"
    ) from None
  except (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
  ) as error:
    raise UserError(
      f"{path} cannot be read as an image ({error}); replace or remove it"
    ) from None
