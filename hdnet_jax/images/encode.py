"""Harmonized pictures in a file's own samples, and those written to files.

Pillow writes JPEG, WebP and PNG of 8 bits. PNG of 16 bits in colour, which it
cannot write, is put together here, and TIFF in `tiff`.
"""

import dataclasses
import pathlib
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from hdnet_jax.images import keeping, tiff
from hdnet_jax.images.metadata import NO_EXTRAS, Extras, for_tiff
from hdnet_jax.images.orientation import EXIF_START

if TYPE_CHECKING:
  from hdnet_jax.images.file import Picture


@dataclasses.dataclass(frozen=True, eq=False)
class Encodable:
  """What goes into a file, exactly as it is handed to the encoder.

  samples: uint8 or uint16 [H, W] or [H, W, C], alpha last.
  mode: Pillow's, "L", "LA", "RGB", "RGBA" or "CMYK", in 16 bits too.
  """

  samples: np.ndarray
  mode: str
  exif: bytes | None
  icc: bytes | None
  xmp: bytes | None
  dpi: tuple[float, float] | None
  extras: Extras = NO_EXTRAS


def image_for(
  picture: "Picture", pixels: np.ndarray, format: str, mask: np.ndarray | None
) -> tuple[Encodable, tuple[str, ...]]:
  """A picture with its new pixels as a format holds it, and what it loses."""
  notes = []
  kind, samples = _own_samples(picture, pixels, format, mask)
  if kind != picture.kind:
    notes.append(f"{format} holds no {picture.kind}; it is written as {kind}.")
  alpha = picture.alpha
  if alpha is not None and format == "JPEG" and not has_alpha(picture):
    alpha = None
    notes.append("The alpha channel is opaque everywhere, and is left out.")
  if samples.dtype == np.uint16 and format in ("JPEG", "WEBP"):
    notes.append(f"{format} holds 8 bits; the 16 of {picture.name} are cut.")
    samples, alpha = _eight_bits(samples), _eight_bits(alpha)
  deep = samples.dtype == np.uint16
  # WebP has no gray; and Pillow cannot read gray of 16 bits with alpha in TIFF.
  if kind == "gray" and (
    format == "WEBP" or (format == "TIFF" and deep and alpha is not None)
  ):
    kind, samples = "RGB", np.repeat(samples[..., None], 3, axis=-1)
  mode = {"gray": "L", "RGB": "RGB", "CMYK": "CMYK"}[kind]
  if alpha is not None:
    mode, samples = f"{mode}A", np.dstack((samples, alpha))
  kept, more = keeping.kept(picture, format, kind)
  image = Encodable(
    samples, mode, kept.exif, kept.icc, kept.xmp, picture.dpi, kept.extras
  )
  return image, (*notes, *more)


def has_alpha(picture: "Picture") -> bool:
  """Whether anything of a picture is transparent."""
  alpha = picture.alpha
  return alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max


def _own_samples(
  picture: "Picture", pixels: np.ndarray, format: str, mask: np.ndarray | None
) -> tuple[str, np.ndarray]:
  """The kind of samples that is written, and them.

  Those of pixels that are masked out, or did not change, are the file's own.
  """
  changed = (pixels != picture.pixels).any(-1)
  if mask is not None:
    changed &= mask != 0
  if picture.kind == "gray":
    samples = picture.own.copy()
    samples[changed] = luma(pixels[changed])
    return "gray", samples
  if picture.kind == "CMYK" and format in ("JPEG", "TIFF"):
    samples = picture.own.copy()
    samples[changed] = cmyk(pixels[changed], picture.own[changed])
    return "CMYK", samples
  samples = picture.pixels.copy()
  samples[changed] = pixels[changed]
  return "RGB", samples


def luma(rgb: np.ndarray) -> np.ndarray:
  """Rec. 601 luma [N] of RGB [N, 3]; equal channels keep their value."""
  # Weights of 0.299, 0.587, 0.114 that add up to 65536: exact in 32 bits.
  weights = np.array((19595, 38470, 7471), np.uint32)
  return ((rgb @ weights + np.uint32(32768)) >> 16).astype(rgb.dtype)


def cmyk(rgb: np.ndarray, own: np.ndarray) -> np.ndarray:
  """uint8 CMYK [N, 4] that shows RGB [N, 3], with `own`'s black if it may."""
  light = rgb.astype(np.float32)
  # Black ink leaves at most 255 - K in any channel.
  white = np.maximum(255 - own[:, 3].astype(np.float32), light.max(-1))
  ink = 255 - 255 * light / np.maximum(white, 1)[:, None]
  black = 255 - white
  ink = np.where(white[:, None] > 0, ink, own[:, :3])
  return np.rint(np.c_[ink, black]).astype(np.uint8)


def _eight_bits(samples: np.ndarray | None) -> np.ndarray | None:
  """uint16 as uint8, rounded."""
  if samples is None:
    return None
  return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write(
  image: Encodable, path: pathlib.Path, format: str, quality: int
) -> None:
  """Encodes an image into a new file."""
  with path.open("wb") as file:
    encode(image, file, format, quality)


def encode(image: Encodable, file: BinaryIO, format: str, quality: int) -> None:
  """Encodes an image; TIFF, and PNG of 16 bits, without Pillow."""
  if format == "TIFF":
    tiff.write(image, file, for_tiff(image.exif))
  elif image.samples.dtype == np.uint16:
    _write_png(image, file)
  else:
    _write_by_pillow(image, file, format, quality)


def _write_by_pillow(
  image: Encodable, file: BinaryIO, format: str, quality: int
) -> None:
  height, width = image.samples.shape[:2]
  pillow = Image.frombytes(image.mode, (width, height), image.samples.tobytes())
  options = {"icc_profile": image.icc, "exif": image.exif or b""}
  if image.dpi and format != "WEBP":
    options["dpi"] = image.dpi
  if format == "PNG":
    options["pnginfo"] = PngImagePlugin.PngInfo()
    for name, body in image.extras.chunks:
      options["pnginfo"].add(name, body)
    if image.xmp:
      options["pnginfo"].add_itxt("XML:com.adobe.xmp", image.xmp.decode())
  elif image.xmp:
    options["xmp"] = image.xmp
  if format == "JPEG":
    # From 90 on, colours are kept at full resolution.
    options |= {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if image.extras.comment:
      options["comment"] = image.extras.comment
    if image.extras.iptc:
      options["extra"] = _iptc_segment(image.extras.iptc)
  if format == "WEBP":
    options |= {"quality": quality, "lossless": quality == 100, "exact": True}
  pillow.save(file, format, **options)


def _iptc_segment(iptc: bytes) -> bytes:
  """A JPEG file's segment with IPTC data, as Photoshop writes it."""
  resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc
  body = b"Photoshop 3.0\0" + resource + bytes(len(iptc) % 2)
  return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def _write_png(image: Encodable, file: BinaryIO) -> None:
  """16-bit PNG, every row as differences to the pixel before."""

  def chunk(name: bytes, data: bytes) -> None:
    check = zlib.crc32(data, zlib.crc32(name))
    file.write(struct.pack(">I", len(data)) + name + data)
    file.write(struct.pack(">I", check))

  height, width = image.samples.shape[:2]
  colour = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[image.mode]
  file.write(b"\x89PNG\r\n\x1a\n")
  chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
  if image.icc:
    chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(image.icc))
  for name, body in image.extras.chunks:
    if not (name == b"sRGB" and image.icc):  # they exclude each other
      chunk(name, body)
  if image.dpi:
    metre = [round(value / 0.0254) for value in image.dpi]
    chunk(b"pHYs", struct.pack(">IIB", *metre, 1))
  if image.exif:
    chunk(b"eXIf", image.exif.removeprefix(EXIF_START))
  if image.xmp:
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + image.xmp)
  compressor = zlib.compressobj(tiff.LEVEL)
  for rows in tiff.blocks(image.samples):
    raw = rows.astype(">u2").view(np.uint8).reshape(len(rows), width, -1)
    raw = tiff.differences(raw).reshape(len(rows), -1)
    raw = np.pad(raw, ((0, 0), (1, 0)), constant_values=1)  # 1: that filter
    chunk(b"IDAT", compressor.compress(raw.tobytes()))
  chunk(b"IDAT", compressor.flush())
  chunk(b"IEND", b"")
