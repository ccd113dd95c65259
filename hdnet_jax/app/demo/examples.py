"""Pasted objects to try the page with, of the photos inside scikit-image.

They are always the same: outlines are drawn by hand, and places are fixed.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hdnet_jax.images.reading import Picture
from hdnet_jax.inference.paste import Pasted, paste

# Outlines of objects, in pixels: ellipses as boxes, a polygon as its corners.
_CUP = ((78, 46, 480, 390), (171, 15, 410, 208))
_ASTRONAUT = (
  *((153, 90), (160, 45), (195, 15), (235, 10), (278, 25), (301, 70)),
  *((297, 118), (272, 138), (264, 165), (298, 195), (304, 255), (340, 272)),
  *((356, 318), (360, 345), (322, 358), (294, 395), (279, 440), (280, 512)),
  *((22, 512), (22, 440), (32, 345), (55, 272), (112, 212), (117, 185)),
  *((142, 156), (186, 150), (182, 132), (162, 122)),
)


class Pasting(NamedTuple):
  """Names for `cut_out` and `load_photo`, and the arguments of `paste`."""

  cutout: str
  photo: str
  at: tuple[int, int]
  scale: float


PASTINGS = (
  Pasting("cup", "motorcycle_left.png", (255, 270), 0.55),
  Pasting("astronaut", "rocket.jpg", (30, 100), 0.64),
)


@dataclasses.dataclass(frozen=True)
class Sample:
  """Files of an example: a photo, and its mask or a cut-out to place on it.

  place: of the cut-out, as `work.Cutout` has it: across, down, size.
  """

  photo: pathlib.Path
  thumbnail: pathlib.Path
  mask: pathlib.Path | None = None
  cutout: pathlib.Path | None = None
  place: tuple[int, int, int] = (50, 50, 50)


def make(folder: pathlib.Path) -> list[Sample]:
  """Write the examples to a folder."""
  samples = [_write_pasted(folder, pasting) for pasting in PASTINGS]
  # In bluish light, as from a window: she goes into a garage lit by lamps.
  astronaut = load_photo("astronaut.png")
  mask = _outline(astronaut.size, (), _ASTRONAUT)
  cutout = _cut(_relit(astronaut, (0.8, 0.9, 1.15)), mask)
  garage = load_photo("motorcycle_left.png")
  return [*samples, _write_placed(folder, "garage", garage, cutout)]


def paste_on_photo(pasting: Pasting) -> Pasted:
  """Return a composite and its mask."""
  cutout = np.asarray(cut_out(pasting.cutout))
  photo = np.asarray(load_photo(pasting.photo))
  return paste(
    Picture(cutout[..., :3], cutout[..., 3]),
    Picture(photo),
    pasting.at,
    pasting.scale,
  )


def cut_out(name: str) -> Image.Image:
  """Return the "cup" or the "astronaut", without what is around them."""
  file, ellipses, polygon = {
    "cup": ("coffee.png", _CUP, ()),
    "astronaut": ("astronaut.png", (), _ASTRONAUT),
  }[name]
  photo = load_photo(file)
  return _cut(photo, _outline(photo.size, ellipses, polygon))


def _cut(photo: Image.Image, mask: Image.Image) -> Image.Image:
  cutout = photo.copy()
  cutout.putalpha(mask)
  return cutout.crop(mask.getbbox())


def load_photo(name: str) -> Image.Image:
  """Load a colour photo of scikit-image."""
  from skimage import data  # loaded only by those who use the samples

  with Image.open(pathlib.Path(data.__file__).parent / name) as file:
    return file.convert("RGB")


def _outline(
  size: tuple[int, int],
  ellipses: Sequence[tuple[int, int, int, int]],
  polygon: Sequence[tuple[int, int]] = (),
) -> Image.Image:
  mask = Image.new("L", size)
  draw = ImageDraw.Draw(mask)
  for box in ellipses:
    draw.ellipse(box, fill=255)
  if polygon:
    draw.polygon(polygon, fill=255)
  return mask.filter(ImageFilter.BoxBlur(1))


def _relit(photo: Image.Image, gains: tuple[float, ...]) -> Image.Image:
  """The photo in other light: a factor for red, green and blue."""
  pixels = np.asarray(photo) * np.array(gains, np.float32)
  return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))


def _write_pasted(folder: pathlib.Path, pasting: Pasting) -> Sample:
  """Write a composite and its mask."""
  pasted, name = paste_on_photo(pasting), pasting.cutout
  composite = Image.fromarray(pasted.pixels)
  mask = Image.fromarray(np.rint(255 * pasted.mask).astype(np.uint8))
  return Sample(
    photo=_save(folder / f"{name}.png", composite),
    thumbnail=_save(folder / f"{name}-thumbnail.png", _small(composite)),
    mask=_save(folder / f"{name}-mask.png", mask),
  )


def _write_placed(
  folder: pathlib.Path, name: str, photo: Image.Image, cutout: Image.Image
) -> Sample:
  """Write a photo, and a cut-out to go to its lower edge.

  It goes to the middle, where the line between before and after is at first.
  """
  size = 70  # percent of the height
  shown = _small(photo)
  pasted = cutout.copy()
  pasted.thumbnail((shown.width, shown.height * size // 100))
  corner = (shown.width - pasted.width) // 2, shown.height - pasted.height
  shown.paste(pasted, corner, pasted)
  return Sample(
    photo=_save(folder / f"{name}.png", photo),
    thumbnail=_save(folder / f"{name}-thumbnail.png", shown),
    cutout=_save(folder / f"{name}-cutout.png", cutout),
    place=(50, 100 - size // 2, size),
  )


def _small(image: Image.Image) -> Image.Image:
  image = image.copy()
  image.thumbnail((320, 240))
  return image


def _save(path: pathlib.Path, image: Image.Image) -> pathlib.Path:
  image.save(path)
  return path
