"""Convert colors: between RGB, gray and CMYK, 16 bits and 8, ICC profiles."""

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
  from hdnet_jax.images.reading import Picture

# In levels of 255. Profiles of one color space can differ by so much, which
# nobody sees.
_SAME = 2


def to_uint8(samples: np.ndarray) -> np.ndarray:
  """Return uint8 or uint16 samples as uint8, rounded."""
  if samples.dtype == np.uint8:
    return samples
  return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_rgb(samples: np.ndarray) -> np.ndarray:
  """Return [H, W, 3] of gray [H, W], RGB or CMYK [H, W, 4] samples."""
  if samples.ndim == 2:
    return np.repeat(samples[..., None], 3, axis=-1)
  if samples.shape[2] == 4:
    size = (samples.shape[1], samples.shape[0])
    cmyk = Image.frombytes("CMYK", size, samples.tobytes())
    return np.asarray(cmyk.convert("RGB"))
  return samples


def rgb_to_luma(rgb: np.ndarray) -> np.ndarray:
  """Return Rec. 601 luma [N] of [N, 3]; equal channels keep their value."""
  # Weights of 0.299, 0.587, 0.114 that add up to 65536: exact in 32 bits.
  weights = np.array((19595, 38470, 7471), np.uint32)
  return ((rgb @ weights + np.uint32(32768)) >> 16).astype(rgb.dtype)


def rgb_to_cmyk(rgb: np.ndarray, before: np.ndarray) -> np.ndarray:
  """Return uint8 CMYK [N, 4] that shows RGB [N, 3].

  Args:
    before: CMYK [N, 4] before the change; its black is kept unless RGB is too
      light for it.
  """
  light = rgb.astype(np.float32)
  # Black ink leaves at most 255 - K in any channel.
  white = np.maximum(255 - before[:, 3].astype(np.float32), light.max(-1))
  ink = 255 - 255 * light / np.maximum(white, 1)[:, None]
  ink = np.where(white[:, None] > 0, ink, before[:, :3])
  return np.rint(np.c_[ink, 255 - white]).astype(np.uint8)


def convert_profile(
  picture: "Picture", target: "Picture", part: tuple[slice, slice]
) -> tuple[np.ndarray, list[str]]:
  """Convert a part of a picture to the ICC profile of another, in 8 bits.

  A gray or CMYK picture with a profile of its own color space is converted from
  the file's own samples. A picture without a profile, or with any other that is
  not of RGB, is taken for sRGB.

  Returns:
    RGB pixels of the picture's type, and notes.
  """
  pixels, icc = picture.pixels[part], picture.metadata.icc
  target_icc = target.metadata.icc
  if _color_space(target_icc) != "RGB":
    target_icc = None
  if icc == target_icc:
    return pixels, []
  # A profile of neither the pixels nor the file's own samples is ignored.
  mode, samples, space = "RGB", pixels, _color_space(icc)
  own = picture.own
  if own is not None and space.lower() == picture.color_space.lower():
    mode, samples = {"GRAY": "L"}.get(space, space), own[part]
  elif space != "RGB":
    icc = None
  samples = np.ascontiguousarray(to_uint8(samples))
  try:
    source = _profile(icc)
    transform = ImageCms.buildTransform(
      source,
      _profile(target_icc),
      mode,
      "RGB",
      ImageCms.Intent.RELATIVE_COLORIMETRIC,
      ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode == "RGB" and _is_identity(transform):
      return pixels, []
    image = Image.frombytes(mode, samples.shape[1::-1], samples.tobytes())
    result = np.asarray(ImageCms.applyTransform(image, transform))
    name = " ".join(ImageCms.getProfileDescription(source).split())
  except ImageCms.PyCMSError:
    return pixels, [
      f"The profile of {picture.name} or {target.name} is damaged, so colours "
      "are pasted as they are."
    ]
  notes = [
    f"Colours of {picture.name} are converted from its profile ({name}) to "
    f"that of {target.name}."
  ]
  if pixels.dtype != np.uint8:
    notes.append(f"Of the 16 bits of {picture.name} 8 are converted.")
    result = result.astype(np.uint16) * 257
  return result, notes


def _color_space(icc: bytes | None) -> str:
  """Return the color space that a profile names; "" without a profile."""
  return (icc or b"")[16:20].decode("latin-1").strip()


def _profile(icc: bytes | None) -> ImageCms.ImageCmsProfile:
  if icc is None:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
  try:
    return ImageCms.ImageCmsProfile(io.BytesIO(icc))
  except OSError as error:
    raise ImageCms.PyCMSError(error) from None


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
  """Return whether a transform keeps RGB colors, within `_SAME` levels."""
  steps = np.linspace(0, 255, 9).round().astype(np.uint8)
  grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
  after = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform))
  return bool(np.abs(after.astype(int) - grid).max() <= _SAME)
