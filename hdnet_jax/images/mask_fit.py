"""How a mask comes to lie on its image: turned, resized, never stretched."""

import dataclasses

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import orientation

Size = tuple[int, int]  # width, height


@dataclasses.dataclass(frozen=True)
class Fit:
  """How a mask comes to lie on its image: turned, then resized; and notes."""

  turn: int
  size: Size
  notes: tuple[str, ...] = ()

  def __call__(self, mask: np.ndarray) -> np.ndarray:
    """The mask [H, W] on its image; float32 where it is resized."""
    if self.turn != 1:
      mask = orientation.turn(mask, self.turn)
    if mask.shape[::-1] == self.size:
      return mask
    soft = Image.fromarray(mask.astype(np.float32, copy=False))
    resized = soft.resize(self.size, Image.Resampling.BILINEAR)
    return np.asarray(resized).clip(0, 1)


def fit(
  name: str,
  has: Size,
  wants: Size,
  own: int = 1,
  image: int = 1,
  resize: bool = False,
) -> Fit:
  """How a mask is laid on its image: turned if it must be, never squashed.

  Args:
    name: of the mask, for errors and notes.
    has: the mask's size, upright.
    wants: the image's, as it is to be harmonized.
    own: the orientation that the mask's own file says.
    image: the orientation by which the image was turned.
    resize: whether a mask of the image's shape and another size is resized.

  Raises:
    UserError: for a mask of another size without `resize`, and for one of
      another shape.
  """
  as_stored = (
    f"{name} fits its image as it is stored, so it is not turned as its own "
    "EXIF data says."
  )
  as_image = (
    f"{name} has the size that its image is stored in, and is turned as that "
    "is."
  )
  turns = (
    (1, ()),
    (orientation.inverse(own), (as_stored,)),
    (image, (as_image,)),
  )
  for fits in (_is_same, _is_like)[: 1 + resize]:
    for turn, notes in turns:
      if fits(orientation.turned_size(has, turn), wants):
        if turn == own == 1 and _is_ambiguous(wants, image):
          notes = (
            f"The image of {name} is turned upright, as its EXIF data says; "
            "the mask is taken to be upright already.",
          )
        return Fit(turn, wants, notes)
  sizes = (
    f"{name} has {has[0]}x{has[1]} pixels and its image {wants[0]}x{wants[1]}"
  )
  if _is_like(has, wants):
    raise UserError(
      f"{sizes}; make a mask of the image's size, or give --resize-mask"
    )
  if _is_like(has[::-1], wants):
    raise UserError(f"{sizes}; turn the mask as the image is")
  raise UserError(
    f"{sizes}, of another shape, and a mask is never stretched; make one of "
    "the image's size"
  )


def _is_same(has: Size, wants: Size) -> bool:
  return has == wants


def _is_like(has: Size, wants: Size) -> bool:
  """Whether the shapes are the same, but for rounding to whole pixels."""
  apart = abs(has[0] * wants[1] - has[1] * wants[0])
  return apart < max(sum(has), sum(wants))


def _is_ambiguous(size: Size, turn: int) -> bool:
  """Whether a mask's size does not tell if it is turned."""
  return turn != 1 and orientation.turned_size(size, turn) == size
