"""Image files decoded: their own samples, upright, and what comes with them.

Those of `image_formats`. Pillow gives 8 bits of colour images that have 16; it
can be told to unpack either byte of every sample, so those are decoded twice.
"""

import dataclasses
import pathlib
import struct
import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageFile

from hdnet_jax.errors import UserError
from hdnet_jax.images import exif, metadata, orientation, png, xmp
from hdnet_jax.images.formats import format_of, readable
from hdnet_jax.images.opening import Source, explained, identified, read

# A 150-megapixel photo passes.
MAX_PIXELS = 175_000_000
_BIG_TIFF = (b"+\0", b"\0+")


@dataclasses.dataclass(frozen=True, eq=False)
class Decoded:
  """An image file's contents, turned upright.

  samples: [H, W] gray, [H, W, 3] RGB or [H, W, 4] CMYK; uint8 or uint16,
    and float32 or int32 for gray images of those.
  alpha: [H, W] of the same dtype, or None.
  orientation: EXIF's, by which the stored samples were turned.
  exif, icc, xmp: as the file has them; EXIF and XMP are corrected.
  notes: sentences on what was not taken over as it was.
  """

  name: str
  mode: str
  samples: np.ndarray
  alpha: np.ndarray | None
  orientation: int
  exif: bytes | None
  icc: bytes | None
  xmp: bytes | None
  dpi: tuple[float, float] | None
  extras: metadata.Extras
  notes: tuple[str, ...]

  @property
  def size(self) -> tuple[int, int]:
    """Width, height."""
    return self.samples.shape[1], self.samples.shape[0]


def decode(source: Source, max_pixels: int = MAX_PIXELS) -> Decoded:
  """The image in a file, given by its path, its bytes or as an open file.

  Raises:
    UserError: for anything that is not a whole image of 1 to `max_pixels`
      pixels; larger ones are found before they are decoded.
  """
  name, data = read(source)
  notes: list[str] = []
  with explained(name):
    data, chunks, faults = png.split(data)
    image = _open(name, data, max_pixels)
    info, more = png.info_of(chunks)
    image.info.update(info)
    notes += [f"{name} {fault}" for fault in (*faults, *more)]
    notes += _oddities(name, image)
    # Pillow turns TIFF files itself, when they are loaded.
    stored = getattr(image, "tag_v2", {}).get(orientation.TAG)
    stored = stored if stored in range(2, 9) else 1
    samples, alpha = _samples(name, image, data, notes)
    data_of_exif, turn = _exif(name, image, data, stored, notes)
    icc = image.info.get("icc_profile")
    dpi = metadata.resolution(image.info)
    extras = metadata.extras_of(image, chunks)
    more = metadata.not_carried(image, chunks)
    notes += [f"{name} {sentence}" for sentence in more]
  if dpi and turn >= 5:
    dpi = dpi[::-1]
  size = orientation.turned_size(image.size, turn)
  return Decoded(
    name=name,
    mode=image.mode,
    samples=orientation.turn(samples, turn),
    alpha=None if alpha is None else orientation.turn(alpha, turn),
    orientation=stored if stored != 1 else turn,
    exif=data_of_exif,
    icc=icc if isinstance(icc, bytes) and icc else None,
    xmp=_xmp(name, image, size, notes),
    dpi=dpi,
    extras=extras,
    notes=tuple(dict.fromkeys(notes)),
  )


def _open(name: str, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
  """The image, its pixels not decoded yet."""
  image = identified(data, readable())
  # A TIFF tile is decoded whole, however little of it the image shows.
  tags = getattr(image, "tag_v2", {})
  tile = tags.get(322, 1) * tags.get(323, 1)
  if max(image.width * image.height, tile) > max_pixels:
    raise UserError(
      f"{name} has {image.width}x{image.height} pixels, over the limit of "
      f"{max_pixels}; make it smaller"
    )
  if tags.get(284) == 2 and np.max(tags.get(258, 1)) > 8:
    # Pillow takes the two bytes of a sample for two samples.
    raise UserError(
      f"{name} has 16-bit colours in separate planes, which cannot be read; "
      "save it with interleaved colours"
    )
  if not image.width or not image.height:
    raise UserError(f"{name} has no pixels; replace it")
  return image


def _oddities(name: str, image: Image.Image) -> Iterator[str]:
  path, found = pathlib.PurePath(name), _plain_format(image)
  if path.suffix and format_of(path) != found:
    article = "an" if found == "AVIF" else "a"
    yield (
      f"{name} is {article} {found} file by its contents, and is read as one."
    )
  if getattr(image, "is_animated", False):
    yield f"{name} holds several images; the first one is used."


def _plain_format(image: Image.Image) -> str:
  # MPO: a JPEG file with further images behind the first.
  return "JPEG" if image.format == "MPO" else str(image.format)


def _samples(
  name: str, image: ImageFile.ImageFile, data: bytes, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
  """Samples and alpha as the file stores them; the image becomes loaded."""
  rawmode = _rawmode(image)
  if rawmode in _OTHER_BYTE:
    return _apart(_sixteen_bits(image, data, rawmode), image)
  if rawmode == "LA;16B":  # its four bytes a pixel, as if they were RGBA
    _set_rawmode(image, "RGBA")
    return _apart(_pairs(np.asarray(image)), image)
  if (bits := _bits(image, data, rawmode)) > 8:
    notes.append(f"{name} has {bits} bits a sample, of which 8 can be read.")
  if rawmode.startswith("RGBa"):
    notes.append(
      f"{name} has colours multiplied by alpha; they are read, and written, "
      "without."
    )
  image.load()
  if image.mode.startswith(("I", "F")):
    return _apart(_single(image), image)
  plain = image.convert(_plain_mode(name, image))
  samples = np.asarray(plain)
  if plain.mode == "LA":
    return samples[..., 0], samples[..., 1]
  if plain.mode == "RGBA":
    return samples[..., :3], samples[..., 3]
  return samples, None


def _bits(image: ImageFile.ImageFile, data: bytes, rawmode: str) -> int:
  """The bits of a sample in the file, where Pillow would give 8 of them."""
  if image.format == "HEIF":
    return image.info.get("bit_depth", 8)
  if image.format == "AVIF":
    # A box with a version of 4 bytes, a count of channels, and bits of each.
    place = data.find(b"pixi") + 9
    return data[place] if 9 <= place < len(data) else 8
  deep = image.format in ("PNG", "TIFF") and ";16" in rawmode
  return 16 if deep and not image.mode.startswith("I") else 8


def _plain_mode(name: str, image: Image.Image) -> str:
  """The mode, of those that are harmonized, that an 8-bit image has."""
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


# Decoding with the other byte order gives the low bytes instead of the high.
_OTHER_BYTE = {
  f"{mode};16{order}": f"{mode};16{other}"
  for mode in ("RGB", "RGBA")
  for order, other in {
    "B": "L",
    "L": "B",
    "N": "B" if sys.byteorder == "little" else "L",
  }.items()
}


def _rawmode(image: ImageFile.ImageFile) -> str:
  """How the file stores a pixel, in Pillow's words; "" where it varies."""
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


def _sixteen_bits(
  image: ImageFile.ImageFile, data: bytes, rawmode: str
) -> np.ndarray:
  """Both bytes of every sample: uint16 [H, W, 3 or 4]."""
  again = identified(data, readable())
  _set_rawmode(again, _OTHER_BYTE[rawmode])
  samples = np.asarray(image).astype(np.uint16)
  samples <<= 8
  samples |= np.asarray(again)
  return samples


def _pairs(samples: np.ndarray) -> np.ndarray:
  """Big-endian bytes [H, W, 4] as uint16 [H, W, 2]."""
  return np.ascontiguousarray(samples).view(">u2").astype(np.uint16)


def _single(image: Image.Image) -> np.ndarray:
  """One channel of more than 8 bits: uint16, int32 or float32 [H, W]."""
  samples = np.asarray(image)
  if image.mode == "I" and samples.min() >= 0 and samples.max() <= 65535:
    samples = samples.astype(np.uint16)
  if samples.dtype.kind == "u":
    samples = samples.astype(np.uint16)  # from whichever byte order
    if getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF: white is zero
      samples = ~samples
  return samples


def _apart(
  samples: np.ndarray, image: Image.Image
) -> tuple[np.ndarray, np.ndarray | None]:
  """Samples of 16 bits without their alpha, and that."""
  channels = samples.shape[2] if samples.ndim == 3 else 1
  if channels in (2, 4):
    colour = samples[..., 0] if channels == 2 else samples[..., :3]
    return colour, samples[..., -1]
  clear = image.info.get("transparency")  # the one colour that stands for it
  if clear is None or samples.dtype != np.uint16:
    return samples, None
  same = samples == np.asarray(clear, samples.dtype)
  same = same if channels == 1 else same.all(-1)
  return samples, np.where(same, 0, 65535).astype(np.uint16)


def _exif(
  name: str, image: Image.Image, file: bytes, stored: int, notes: list[str]
) -> tuple[bytes | None, int]:
  """EXIF data of the upright image, and how the samples are to be turned."""
  turn = 1
  try:
    if image.format == "TIFF":  # Pillow has turned it already
      if file[2:4] in _BIG_TIFF:
        notes.append(f"{name} is a BigTIFF file, whose EXIF data is left out.")
        return None, turn
      data = metadata.from_tiff(file)
    else:
      data = orientation.raw_exif(image.info)
      turn = stored = 1 if data is None else orientation.of_exif(data)[0]
    if data is not None:
      size = orientation.turned_size(image.size, turn)
      data = exif.corrected(data, size, stored)
    return data, turn
  except (ValueError, struct.error):
    notes.append(f"{name} has damaged EXIF data, which is left out.")
    return None, turn


def _xmp(
  name: str, image: Image.Image, size: tuple[int, int], notes: list[str]
) -> bytes | None:
  """XMP data of the upright image, of that size."""
  data = image.info.get("xmp")
  if not isinstance(data, bytes) or not data:
    return None
  data, gone = xmp.corrected(data, size)
  if gone:
    words = ", ".join(gone)
    notes.append(f"{name} tells of what is left out here: {words}.")
  return data
