"""Read image files of the formats of `formats`, upright, with their metadata.

The pixels are the RGB values that a file stores, in its own color space: an ICC
profile is kept, not applied.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from hdnet_jax.errors import UserError
from hdnet_jax.images import exif, metadata
from hdnet_jax.images.color import to_rgb
from hdnet_jax.images.formats import format_of
from hdnet_jax.images.metadata import NO_METADATA, Metadata
from hdnet_jax.images.opening import OpenImage, Source, identify, open_image
from hdnet_jax.images.transforms import turn

# A 150-megapixel photo passes.
MAX_PIXELS = 175_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
  """An image file's contents, turned upright.

  pixels: uint8 or uint16 [H, W, 3], the RGB values to harmonize.
  alpha: of the same dtype, [H, W]; None for an opaque image.
  name: the file's, for messages.
  own: the file's own samples where they are not the pixels: [H, W] for a gray
    image, [H, W, 4] for CMYK; else None.
  orientation: EXIF's, by which the stored pixels were turned upright.
  metadata: corrected for the upright image.
  notes: sentences on what was not read as it is in the file.
  """

  pixels: np.ndarray
  alpha: np.ndarray | None = None
  name: str = "the image"
  own: np.ndarray | None = None
  orientation: int = 1
  metadata: Metadata = NO_METADATA
  notes: tuple[str, ...] = ()

  @property
  def color_space(self) -> str:
    """The color space of the file's own samples: "gray", "RGB" or "CMYK"."""
    if self.own is None:
      return "RGB"
    return "gray" if self.own.ndim == 2 else "CMYK"

  @property
  def size(self) -> tuple[int, int]:
    """Width, height."""
    return self.pixels.shape[1], self.pixels.shape[0]

  @property
  def is_transparent(self) -> bool:
    """Whether any pixel is not opaque."""
    alpha = self.alpha
    return alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
  """A Picture's samples before they become pixels, as masks need them.

  samples: [H, W] gray, [H, W, 3] RGB or [H, W, 4] CMYK; uint8 or uint16,
    and in gray also float32 or int32.
  """

  samples: np.ndarray
  alpha: np.ndarray | None
  name: str
  orientation: int
  metadata: Metadata
  notes: tuple[str, ...]


def read_picture(source: Source, max_pixels: int = MAX_PIXELS) -> Picture:
  """Read an image file; its contents, not its extension, tell the format.

  Args:
    source: a path, a file's bytes, or an open binary file.
    max_pixels: larger images are refused before they are decoded; by default
      175 million, so that a 150-megapixel camera's pass.

  Returns:
    The picture; of several images in a file, the first.

  Raises:
    UserError: for what is no whole image, is too large, or has float or other
      unsupported colours. One line names the file and says what to do.
  """
  decoded = decode(source, max_pixels)
  samples = decoded.samples
  if samples.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
    words = "32-bit or floating-point pixels"
    if not np.isfinite(samples).all():
      words = "pixels that are NaN"
    raise UserError(f"{decoded.name} has {words}; convert it to 8 or 16 bits")
  is_rgb = samples.ndim == 3 and samples.shape[2] == 3
  return Picture(
    to_rgb(samples),
    decoded.alpha,
    decoded.name,
    None if is_rgb else samples,
    decoded.orientation,
    decoded.metadata,
    decoded.notes,
  )


def decode(source: Source, max_pixels: int = MAX_PIXELS) -> Decoded:
  """Decode an image file's own samples; arguments are `read_picture`'s."""
  with open_image(source, max_pixels) as file:
    notes = [*file.faults, *_oddities(file)]
    # Pillow turns TIFF files itself, when they are loaded.
    stored = getattr(file.image, "tag_v2", {}).get(exif.ORIENTATION)
    samples, alpha = _samples(file, notes)
    orientation = exif.orientation_of_image(file.image)
    samples = turn(samples, orientation)
    alpha = None if alpha is None else turn(alpha, orientation)
    if stored is not None and stored in range(2, 9):
      orientation = int(stored)
    data = metadata.read(file, orientation, notes)
  return Decoded(
    samples,
    alpha,
    file.name,
    orientation,
    data,
    tuple(dict.fromkeys(f"{file.name} {note}" for note in notes)),
  )


def _oddities(file: OpenImage) -> Iterator[str]:
  # MPO: a JPEG file with further images behind the first.
  found = "JPEG" if file.image.format == "MPO" else file.image.format
  path = pathlib.PurePath(file.name)
  if path.suffix and format_of(path) != found:
    article = "an" if found == "AVIF" else "a"
    yield f"is {article} {found} file by its contents, and is read as one."
  if getattr(file.image, "is_animated", False):
    yield "holds several images; the first one is used."


def _samples(
  file: OpenImage, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
  """Return samples and alpha as the file stores them; load the image."""
  image, rawmode = file.image, _rawmode(file.image)
  if rawmode in _OTHER_BYTE:
    return _split_alpha(_sixteen_bits(file, rawmode), image)
  if rawmode == "LA;16B":  # its four bytes a pixel, as if they were RGBA
    _set_rawmode(image, "RGBA")
    pairs = np.ascontiguousarray(image).view(">u2")
    return _split_alpha(pairs.astype(np.uint16), image)
  if (bits := _bits(file, rawmode)) > 8:
    notes.append(f"has {bits} bits a sample, of which 8 can be read.")
  if rawmode.startswith("RGBa"):
    notes.append(
      "has colours multiplied by alpha; they are read, and written, without."
    )
  image.load()
  if image.mode.startswith(("I", "F")):
    return _split_alpha(_single_channel(image), image)
  mode = _plain_mode(file.name, image)
  samples = np.asarray(image if image.mode == mode else image.convert(mode))
  if samples.ndim == 3 and image.mode != "CMYK":
    return _split_alpha(samples, image)
  return samples, None


def _bits(file: OpenImage, rawmode: str) -> int:
  """Return a file's bits a sample where Pillow gives 8 of them."""
  image, data = file.image, file.data
  if image.format == "HEIF":
    return image.info.get("bit_depth", 8)
  if image.format == "AVIF":
    # A box with a version of 4 bytes, a count of channels, and bits of each.
    place = data.find(b"pixi") + 9
    return data[place] if 9 <= place < len(data) else 8
  deep = image.format in ("PNG", "TIFF") and ";16" in rawmode
  return 16 if deep and not image.mode.startswith("I") else 8


def _plain_mode(name: str, image: Image.Image) -> str:
  """Return the mode to read an 8-bit image in: L, LA, RGB, RGBA or CMYK."""
  clear = image.has_transparency_data
  if image.mode in ("1", "L", "LA", "La"):
    return "LA" if clear else "L"
  if image.mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
    return "RGBA" if clear else "RGB"
  if image.mode == "CMYK":
    return "CMYK"
  raise UserError(
    f"{name} has colours of a kind ({image.mode}) that cannot be read; "
    "convert it to RGB"
  )


# Pillow decodes 8 of the 16 bits of colors: the high bytes, or the low ones if
# told the other byte order. So such files are decoded twice.
_OTHER_BYTE = {
  f"{mode};16{order}": f"{mode};16{other}"
  for mode in ("RGB", "RGBA")
  for order, other in {
    "B": "L",
    "L": "B",
    "N": "B" if sys.byteorder == "little" else "L",
  }.items()
}


def _sixteen_bits(file: OpenImage, rawmode: str) -> np.ndarray:
  """Decode both bytes of every sample: uint16 [H, W, 3 or 4]."""
  low = identify(file.data)
  _set_rawmode(low, _OTHER_BYTE[rawmode])
  samples = np.asarray(file.image).astype(np.uint16)
  samples <<= 8
  samples |= np.asarray(low)
  return samples


def _rawmode(image: ImageFile.ImageFile) -> str:
  """Return how the file stores a pixel, in Pillow's words; "" if it varies."""
  modes = {
    tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0]
    for tile in image.tile
  }
  return str(modes.pop()) if len(modes) == 1 else ""


def _set_rawmode(image: ImageFile.ImageFile, rawmode: str) -> None:
  image.tile = [
    tile._replace(
      args=rawmode if isinstance(tile.args, str) else (rawmode, *tile.args[1:])  # type: ignore[index]
    )
    for tile in image.tile
  ]


def _single_channel(image: Image.Image) -> np.ndarray:
  """Return more than 8 bits of one channel: uint16, int32 or float32."""
  samples = np.asarray(image)
  if image.mode == "I" and samples.min() >= 0 and samples.max() <= 65535:
    samples = samples.astype(np.uint16)
  if samples.dtype.kind == "u":
    samples = samples.astype(np.uint16)  # from whichever byte order
    if getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF: white is zero
      samples = ~samples
  return samples


def _split_alpha(
  samples: np.ndarray, image: Image.Image
) -> tuple[np.ndarray, np.ndarray | None]:
  """Split gray or RGB samples from their alpha, if they have it."""
  channels = samples.shape[2] if samples.ndim == 3 else 1
  if channels in (2, 4):
    color = samples[..., 0] if channels == 2 else samples[..., :3]
    return color, samples[..., -1]
  clear = image.info.get("transparency")  # the color that means transparent
  if clear is None or samples.dtype != np.uint16:
    return samples, None
  same = samples == np.asarray(clear, samples.dtype)
  same = same if channels == 1 else same.all(-1)
  return samples, np.where(same, 0, 65535).astype(np.uint16)
