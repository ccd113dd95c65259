"""Image files as people have them, read and written.

What is harmonized are the RGB values that a file stores, in its own colour
space: an ICC profile is kept, not applied. Pixels that the mask leaves alone
are written as they were read, also where a file is gray or CMYK and what was
harmonized was RGB.
"""

import dataclasses
import os
import pathlib

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.images import encode
from hdnet_jax.images.decode import MAX_PIXELS, Decoded, decode
from hdnet_jax.images.formats import written_extensions, written_format_of
from hdnet_jax.images.metadata import NO_EXTRAS, Extras
from hdnet_jax.images.opening import Source

# What the encoders take, in pixels.
LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """An image file's contents, turned upright.

  pixels: uint8 or uint16 [H, W, 3], the RGB values to harmonize.
  alpha: of the same dtype, [H, W]; None for an opaque image.
  name: the file's, for messages.
  mode: as Pillow calls the file's own: "L", "P", "RGB", "CMYK", "I;16", ...
  own: the file's own samples where they are not the pixels: [H, W] for a gray
    image, [H, W, 4] for CMYK; else None.
  orientation: EXIF's, by which the stored pixels were turned upright.
  exif, icc, xmp: bytes or None. EXIF and XMP say that the image is upright.
  dpi: dots per inch, across and down, or None.
  extras: metadata that few formats have.
  notes: sentences on what was not read as it is in the file.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None = None
  name: str = "the image"
  mode: str = "RGB"
  own: np.ndarray | None = None
  orientation: int = 1
  exif: bytes | None = None
  icc: bytes | None = None
  xmp: bytes | None = None
  dpi: tuple[float, float] | None = None
  extras: Extras = NO_EXTRAS
  notes: tuple[str, ...] = ()

  @property
  def kind(self) -> str:
    """What the file's own samples are: "gray", "RGB" or "CMYK"."""
    if self.own is None:
      return "RGB"
    return "gray" if self.own.ndim == 2 else "CMYK"

  @property
  def size(self) -> tuple[int, int]:
    """Width, height."""
    return self.pixels.shape[1], self.pixels.shape[0]


def read_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
  """The picture in a file of a format of `image_formats`.

  The contents count, not the extension. Of several images, it is the first.

  Args:
    source: a path, a file's bytes, or an open binary file.
    max_pixels: larger images are refused before they are decoded; by default
      175 million, so that a 150-megapixel camera's pass.

  Raises:
    UserError: for what is no whole image, too large, or in floats or another
      kind of colours; in a line that names the file and says what to do.
  """
  decoded = decode(source, max_pixels)
  own = _integers(decoded)
  pixels, own = _rgb(own), None if _is_rgb(own) else own
  return Picture(
    pixels=pixels,
    alpha=decoded.alpha,
    own=own,
    **{
      field: getattr(decoded, field)
      for field in (
        *("name", "mode", "orientation"),
        *("exif", "icc", "xmp", "dpi", "extras", "notes"),
      )
    },
  )


def write_picture(
  picture: Picture,
  pixels: np.ndarray,
  path: str | os.PathLike,
  quality: int = 95,
  mask: np.ndarray | None = None,
  force: bool = False,
) -> tuple[str, ...]:
  """Writes a harmonized picture in the format that `path`'s extension names.

  A gray picture stays gray (Rec. 601 luma), CMYK stays CMYK in JPEG and TIFF.
  A palette becomes RGB. 16 bits stay in PNG and TIFF. Missing folders are made;
  a file that cannot be written whole leaves nothing behind.

  Args:
    picture: what was read.
    pixels: harmonized, of `picture.pixels`'s shape and dtype.
    path: *.jpg, *.jpeg, *.png, *.webp, *.tif or *.tiff.
    quality: 1 to 100, for JPEG and WebP; a WebP of 100 is lossless. PNG and
      TIFF always are.
    mask: [H, W]; where it is 0, the picture's own pixels are written.
    force: whether a file that exists is replaced.

  Returns:
    Sentences on what the format could not hold.

  Raises:
    UserError: see `check_output`; and for what the system refuses.
  """
  path = pathlib.Path(path)
  if pixels.shape != picture.pixels.shape or (
    pixels.dtype != picture.pixels.dtype
  ):
    raise ValueError("pixels differ in shape or dtype from the picture's")
  if mask is not None and mask.shape != pixels.shape[:2]:
    raise ValueError("the mask's shape differs from the pixels'")
  check_output(picture, path, quality, force)
  format = written_format_of(path)
  image, notes = encode.image_for(picture, pixels, format, mask)
  fresh: list[pathlib.Path] = []
  try:
    fresh += [folder for folder in path.parents if not folder.exists()]
    write_then_rename(
      path, lambda name: encode.write(image, name, format, quality)
    )
  except OSError as error:
    _remove_empty(fresh)
    raise UserError(
      f"{path} cannot be written ({error.strerror or error}); free some space "
      "or choose another place"
    ) from None
  return notes


def check_output(
  picture: Picture,
  path: str | os.PathLike,
  quality: int = 95,
  force: bool = False,
) -> None:
  """Finds what `write_picture` would refuse, before anything is computed.

  Raises:
    UserError: for an unknown extension, a path that exists (without `force`), a
      folder, alpha in a JPEG, sides that the format cannot hold, and a quality
      that is not within 1 to 100.
  """
  path = pathlib.Path(path)
  format = written_format_of(path)
  if format is None:
    raise UserError(
      f"{path} has an extension of no format that can be written; choose one "
      f"of {', '.join(written_extensions())}"
    )
  if not 1 <= quality <= 100:
    raise UserError(f"quality is {quality}; give one from 1 to 100")
  if encode.has_alpha(picture) and format == "JPEG":
    raise UserError(
      f"{picture.name} has an alpha channel, which {path} cannot hold; write "
      "PNG, WebP or TIFF"
    )
  if max(picture.size) > LARGEST_SIDE.get(format, 2**31):
    raise UserError(
      f"{path} cannot hold a side of {max(picture.size)} pixels "
      f"({LARGEST_SIDE[format]} at most); write PNG or TIFF"
    )
  check_free(path, force)


def check_free(path: pathlib.Path, force: bool) -> None:
  """Raises UserError for a folder, a file that exists, and no possible name."""
  if "\0" in str(path):
    raise UserError(f"{path} has a null character; choose another path")
  try:
    folder, exists = path.is_dir(), os.path.lexists(path)
  except OSError as error:
    raise UserError(
      f"{path} cannot be written ({error.strerror}); choose another path"
    ) from None
  if folder:
    raise UserError(f"{path} is a folder; name a file")
  if exists and not force:
    raise UserError(f"{path} exists; give another path, or --force")


def _remove_empty(folders: list[pathlib.Path]) -> None:
  """Removes folders that were made for a file that then failed."""
  for folder in folders:
    try:
      folder.rmdir()
    except OSError:
      return  # it was never made, or someone else uses it


def _integers(decoded: Decoded) -> np.ndarray:
  """The samples, of 8 or 16 bits."""
  if decoded.samples.dtype in (np.uint8, np.uint16):
    return decoded.samples
  finite = np.isfinite(decoded.samples).all()
  raise UserError(
    f"{decoded.name} has "
    + ("32-bit or floating-point pixels" if finite else "pixels that are NaN")
    + "; convert it to 8 or 16 bits"
  )


def _is_rgb(samples: np.ndarray) -> bool:
  return samples.ndim == 3 and samples.shape[2] == 3


def _rgb(samples: np.ndarray) -> np.ndarray:
  """[H, W, 3] of gray, RGB or CMYK samples."""
  if samples.ndim == 2:
    return np.repeat(samples[..., None], 3, axis=-1)
  if samples.shape[2] == 4:
    size = (samples.shape[1], samples.shape[0])
    cmyk = Image.frombytes("CMYK", size, samples.tobytes())
    return np.asarray(cmyk.convert("RGB"))
  return samples
