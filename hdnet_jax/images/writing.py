"""Write harmonized pictures in the file's own kind of samples.

Pixels that the mask leaves alone are written as they were read, even if the
file is gray or CMYK and was harmonized in RGB.
"""

import contextlib
import dataclasses
import os
import pathlib
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.images import metadata, png_writing, tiff
from hdnet_jax.images.color import rgb_to_cmyk, rgb_to_luma, to_rgb, to_uint8
from hdnet_jax.images.formats import written_extensions, written_format_of
from hdnet_jax.images.metadata import NO_METADATA, Metadata
from hdnet_jax.images.reading import Picture

# What the encoders take, in pixels.
LARGEST_SIDE = {"JPEG": 65500, "WEBP": 16383}


def write_picture(
  picture: Picture,
  pixels: np.ndarray,
  path: str | os.PathLike[str],
  quality: int = 95,
  mask: np.ndarray | None = None,
  force: bool = False,
) -> tuple[str, ...]:
  """Write a harmonized picture in the format that `path`'s extension names.

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
  before = picture.pixels
  if (pixels.shape, pixels.dtype) != (before.shape, before.dtype):
    raise ValueError("pixels differ in shape or dtype from the picture's")
  if mask is not None and mask.shape != pixels.shape[:2]:
    raise ValueError("the mask's shape differs from the pixels'")
  format = check_output(picture, path, quality, force)
  image, notes = prepare(picture, pixels, format, mask)
  _write_whole(image, path, format, quality)
  return notes


def _write_whole(
  image: "Encodable", path: pathlib.Path, format: str, quality: int
) -> None:
  """Encode an image into a file; leave nothing behind if that fails."""

  def write(name: pathlib.Path) -> None:
    with name.open("wb") as file:
      encode(image, file, format, quality)

  new_folders: list[pathlib.Path] = []
  try:
    new_folders += [folder for folder in path.parents if not folder.exists()]
    write_then_rename(path, write)
  except OSError as error:
    # Removing a folder fails if it was never made, or holds other files.
    with contextlib.suppress(OSError):
      for folder in new_folders:
        folder.rmdir()
    raise UserError(
      f"{path} cannot be written ({error.strerror or error}); free some space "
      "or choose another place"
    ) from None


def check_output(
  picture: Picture,
  path: str | os.PathLike[str],
  quality: int = 95,
  force: bool = False,
) -> str:
  """Find what `write_picture` would refuse; return the format of the path.

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
  check_quality(quality)
  if picture.is_transparent and format == "JPEG":
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
  return format


def check_quality(quality: int) -> None:
  """Raise UserError for a quality that is not within 1 to 100."""
  if not 1 <= quality <= 100:
    raise UserError(f"quality is {quality}; give one from 1 to 100")


def check_free(path: pathlib.Path, force: bool) -> None:
  """Raise UserError for a folder, a bad path, or a file without `force`."""
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


@dataclasses.dataclass(frozen=True, eq=False)
class Encodable:
  """What goes into a file, exactly as it is handed to the encoder.

  samples: uint8 or uint16 [H, W] or [H, W, C], alpha last.
  mode: Pillow's, "L", "LA", "RGB", "RGBA" or "CMYK", in 16 bits too.
  """

  samples: np.ndarray
  mode: str
  metadata: Metadata = NO_METADATA


def prepare(
  picture: Picture, pixels: np.ndarray, format: str, mask: np.ndarray | None
) -> tuple[Encodable, tuple[str, ...]]:
  """Return a picture with new pixels as a format holds it; and notes."""
  notes = []
  space, samples = _own_samples(picture, pixels, format, mask)
  if space != picture.color_space:
    notes.append(
      f"{format} holds no {picture.color_space}; it is written as {space}."
    )
  alpha = picture.alpha
  if alpha is not None and format == "JPEG" and not picture.is_transparent:
    alpha = None
    notes.append("The alpha channel is opaque everywhere, and is left out.")
  if samples.dtype == np.uint16 and format in ("JPEG", "WEBP"):
    notes.append(f"{format} holds 8 bits; the 16 of {picture.name} are cut.")
    samples = to_uint8(samples)
    alpha = None if alpha is None else to_uint8(alpha)
  # WebP has no gray; and Pillow cannot read gray of 16 bits with alpha in TIFF.
  deep = samples.dtype == np.uint16 and alpha is not None
  if space == "gray" and (format == "WEBP" or (format == "TIFF" and deep)):
    space, samples = "RGB", to_rgb(samples)
  mode = "L" if space == "gray" else space
  if alpha is not None:
    mode, samples = f"{mode}A", np.dstack((samples, alpha))
  held, more = metadata.held_by(picture.metadata, format, space)
  return Encodable(samples, mode, held), (*notes, *more)


def _own_samples(
  picture: Picture, pixels: np.ndarray, format: str, mask: np.ndarray | None
) -> tuple[str, np.ndarray]:
  """Return the color space that is written, and samples of it.

  Pixels that are masked out, or did not change, are written as they were read.
  """
  space = picture.color_space
  if space == "RGB" or (space == "CMYK" and format not in ("JPEG", "TIFF")):
    samples = pixels.copy()
    for channel in range(3 if mask is not None else 0):
      before = picture.pixels[..., channel]
      np.copyto(samples[..., channel], before, where=mask == 0)
    return "RGB", samples
  changed = (pixels != picture.pixels).any(-1)
  if mask is not None:
    changed &= mask != 0
  new = pixels[changed]
  samples = (picture.pixels if picture.own is None else picture.own).copy()
  if space == "gray":
    new = rgb_to_luma(new)
  else:
    new = rgb_to_cmyk(new, samples[changed])
  samples[changed] = new
  return space, samples


def encode(image: Encodable, file: BinaryIO, format: str, quality: int) -> None:
  """Encode an image; TIFF and PNG without Pillow."""
  if format == "TIFF":
    tiff.write(image, file, *metadata.tiff_tags(image.metadata.exif))
  elif format == "PNG":
    png_writing.write(image, file)
  else:
    _encode_by_pillow(image, file, format, quality)


def _encode_by_pillow(
  image: Encodable, file: BinaryIO, format: str, quality: int
) -> None:
  height, width = image.samples.shape[:2]
  pillow = Image.frombytes(image.mode, (width, height), image.samples.tobytes())
  data = image.metadata
  options: dict[str, Any] = {"icc_profile": data.icc, "exif": data.exif or b""}
  if data.dpi and format != "WEBP":
    options["dpi"] = data.dpi
  if data.xmp:
    options["xmp"] = data.xmp
  if format == "JPEG":
    # From 90 on, colors are kept at full resolution.
    options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if data.comment:
      options["comment"] = data.comment
    if data.iptc:
      options["extra"] = _iptc_segment(data.iptc)
  if format == "WEBP":
    options |= {"quality": quality, "lossless": quality == 100, "exact": True}
  pillow.save(file, format, **options)


def _iptc_segment(iptc: bytes) -> bytes:
  """Return a JPEG file's segment with IPTC data, as Photoshop writes it."""
  resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
  body = b"Photoshop 3.0\0" + resource + bytes(len(iptc) % 2)
  return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
