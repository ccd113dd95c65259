"""Read mask files and alpha channels, and lay masks on their images."""

import dataclasses

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.opening import Source
from hdnet_jax.images.reading import MAX_PIXELS, Decoded, Picture, decode
from hdnet_jax.images.transforms import inverse, turn, turned_size

Size = tuple[int, int]  # width, height


def read_mask(
  source: Source,
  size: Size,
  resize: bool = False,
  invert: bool = False,
  orientation: int = 1,
  max_pixels: int = MAX_PIXELS,
  ones: bool = True,
) -> tuple[np.ndarray, list[str]]:
  """Read a mask as float32 [H, W], 0 to 1, for an image of `size`; and notes.

  Args:
    source: a path, a file's bytes, or an open binary file.
    size: the image's width and height, upright.
    resize: whether a mask of another size is resized, bilinearly, to it.
    invert: whether black is foreground.
    orientation: EXIF's, before the image was turned upright.
    max_pixels: as in `decode`.
    ones: as in `masks.values`.

  Raises:
    UserError: for a file that is no whole image or no mask, and for a mask that
      does not `fit`.
  """
  decoded = decode(source, max_pixels)
  name, samples = decoded.name, decoded.samples
  fitted = fit(
    name,
    (samples.shape[1], samples.shape[0]),
    (size[0], size[1]),
    decoded.orientation,
    orientation,
    resize,
  )
  mask, notes = masks.values(name, *samples_of(decoded), ones)
  mask = fitted(mask).astype(np.float32, copy=False)
  return 1 - mask if invert else mask, [*decoded.notes, *notes, *fitted.notes]


def mask_of_alpha(
  picture: Picture, invert: bool = False
) -> tuple[np.ndarray, list[str]]:
  """Return a picture's own alpha as its mask; and notes.

  Raises:
    UserError: where it has none.
  """
  if picture.alpha is None:
    raise UserError(
      f"{picture.name} has no alpha channel to be its mask; give a mask"
    )
  mask, notes = masks.values(picture.name, picture.alpha, ones=False)
  hidden = picture.pixels[picture.alpha == 0]
  if len(hidden) and not np.ptp(hidden, axis=0).any():
    notes.append(
      f"What {picture.name} hides by its alpha is of one colour, so there is "
      "no photo to fit the object to; paste it on one: hdnet compose."
    )
  return 1 - mask if invert else mask, notes


def holds_ones(source: Source) -> bool:
  """Return whether a mask file has nothing above 1, so that 1 may be white."""
  samples, alpha = samples_of(decode(source))
  if alpha is not None and alpha.min() < alpha.max():
    samples = alpha
  return samples.max() <= 1


def samples_of(decoded: Decoded) -> tuple[np.ndarray, np.ndarray | None]:
  """Return a mask file's samples, gray or RGB, and its alpha."""
  samples = decoded.samples
  if samples.ndim == 3 and samples.shape[2] == 4:  # CMYK: as black on white
    light = 255 - samples.astype(np.uint16)
    samples = (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
  return samples, decoded.alpha


@dataclasses.dataclass(frozen=True)
class Fit:
  """How a mask is laid on its image: turned, then resized; and notes."""

  orientation: int
  size: Size
  notes: tuple[str, ...] = ()

  def __call__(self, mask: np.ndarray) -> np.ndarray:
    """Lay a mask [H, W] on its image; float32 where it is resized."""
    if self.orientation != 1:
      mask = turn(mask, self.orientation)
    if mask.shape[::-1] == self.size:
      return mask
    soft = Image.fromarray(mask.astype(np.float32, copy=False))
    resized = soft.resize(self.size, Image.Resampling.BILINEAR)
    return np.asarray(resized).clip(0, 1)


def fit(
  name: str,
  size: Size,
  image_size: Size,
  orientation: int = 1,
  image_orientation: int = 1,
  resize: bool = False,
) -> Fit:
  """Return how a mask is laid on its image; it is never stretched.

  Args:
    name: of the mask, for errors and notes.
    size: the mask's, upright.
    image_size: the size in which the image is harmonized.
    orientation: what the mask's own file says.
    image_orientation: EXIF's, before the image was turned.
    resize: whether a mask of the image's shape and another size is resized.

  Raises:
    UserError: for a mask of another size without `resize`, and for one of
      another shape.
  """
  turns = (
    (1, None),
    (
      inverse(orientation),
      f"{name} fits its image as it is stored, so it is not turned as its own "
      "EXIF data says.",
    ),
    (
      image_orientation,
      f"{name} has the size that its image is stored in, and is turned as that "
      "is.",
    ),
  )
  for fits in (tuple.__eq__, _has_shape_of)[: 1 + resize]:
    for undo, note in turns:
      if not fits(turned_size(size, undo), image_size):
        continue
      same = turned_size(image_size, image_orientation) == image_size
      if undo == orientation == 1 != image_orientation and same:
        note = (
          f"The image of {name} is turned upright, as its EXIF data says; the "
          "mask is taken to be upright already."
        )
      return Fit(undo, image_size, (note,) if note else ())
  raise _misfit(name, size, image_size)


def _misfit(name: str, size: Size, image_size: Size) -> UserError:
  sizes = (
    f"{name} has {size[0]}x{size[1]} pixels and its image "
    f"{image_size[0]}x{image_size[1]}"
  )
  if _has_shape_of(size, image_size):
    return UserError(
      f"{sizes}; make a mask of the image's size, or give --resize-mask"
    )
  if _has_shape_of((size[1], size[0]), image_size):
    return UserError(f"{sizes}; turn the mask as the image is")
  return UserError(
    f"{sizes}, of another shape, and a mask is never stretched; make one of "
    "the image's size"
  )


def _has_shape_of(size: Size, image_size: Size) -> bool:
  """Return whether shapes are the same, but for rounding to whole pixels."""
  difference = abs(size[0] * image_size[1] - size[1] * image_size[0])
  return difference < max(sum(size), sum(image_size))
