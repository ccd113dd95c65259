"""Colours of one ICC profile in another."""

import io

import numpy as np
from PIL import Image, ImageCms

from hdnet_jax.images.file import Picture

# Levels of 255; nobody sees less, and profiles of one space differ by it.
_SAME = 2


def converted(
  picture: Picture, target: Picture, part: tuple[slice, slice]
) -> tuple[np.ndarray, list[str]]:
  """A part of a picture's RGB pixels in the profile of another; and notes.

  What has no profile, or one that is not of RGB, is taken for sRGB; but for
  gray and CMYK pictures, whose own samples are converted. In 8 bits.
  """
  pixels = picture.pixels[part]
  wanted = target.icc if _space(target.icc) == "RGB" else None
  if picture.icc == wanted:
    return pixels, []
  try:
    samples, mode = _samples(picture, part)
    before = _profile(picture.icc if mode else None)
    mode = mode or "RGB"
    change = ImageCms.buildTransform(
      before,
      _profile(wanted),
      mode,
      "RGB",
      ImageCms.Intent.RELATIVE_COLORIMETRIC,
      ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB" and _changes_nothing(change):
      return pixels, []
    image = Image.frombytes(mode, samples.shape[1::-1], samples.tobytes())
    result = np.asarray(ImageCms.applyTransform(image, change))
    name = " ".join(ImageCms.getProfileDescription(before).split())
  except ImageCms.PyCMSError:
    return pixels, [
      f"The profile of {picture.name} or {target.name} is damaged, so colours "
      "are pasted as they are."
    ]
  notes = [
    f"Colours of {picture.name} are converted from its profile ({name}) to "
    f"that of {target.name}."
  ]
  if pixels.dtype == np.uint16:
    notes.append(f"Of the 16 bits of {picture.name} 8 are converted.")
    result = result.astype(np.uint16) * 257
  return result, notes


def _samples(
  picture: Picture, part: tuple[slice, slice]
) -> tuple[np.ndarray, str | None]:
  """uint8 samples that the picture's profile is of, and their mode.

  Without such a profile they are RGB, and there is no mode.
  """
  space = _space(picture.icc)
  if space == "GRAY" and picture.kind == "gray":
    samples, mode = picture.own[part], "L"
  elif space == "CMYK" and picture.kind == "CMYK":
    samples, mode = picture.own[part], "CMYK"
  else:
    samples, mode = picture.pixels[part], "RGB" if space == "RGB" else None
  if samples.dtype == np.uint16:
    samples = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
  return np.ascontiguousarray(samples), mode


def _space(icc: bytes | None) -> str:
  """The colours that a profile is of, as it names them."""
  return (icc or b"")[16:20].decode("latin-1").strip()


def _profile(icc: bytes | None) -> ImageCms.ImageCmsProfile:
  if icc is None:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
  try:
    return ImageCms.ImageCmsProfile(io.BytesIO(icc))
  except OSError as error:
    raise ImageCms.PyCMSError(error) from None


def _changes_nothing(change: ImageCms.ImageCmsTransform) -> bool:
  """Whether a transform of RGB is between two profiles of one space."""
  steps = np.linspace(0, 255, 9).round().astype(np.uint8)
  grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
  after = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), change))
  return bool(np.abs(after.astype(int) - grid).max() <= _SAME)
