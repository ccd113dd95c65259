"""What the web page does with files; it does not import the page.

Photos are read from their files and written in the same format, so that depth,
profile, metadata and alpha stay. What the page shows are small copies.
"""

import dataclasses
import functools
import io
import logging
import os
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.formats import format_in, suffix_of
from hdnet_jax.images.mask_reading import read_mask
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import write_picture
from hdnet_jax.inference.change import ChangeOptions
from hdnet_jax.inference.harmonizer import Harmonizer
from hdnet_jax.inference.inputs import to_uint8
from hdnet_jax.inference.paste import Pasted, paste

SHOWN = 1600  # pixels of the longer side of what the page shows
PLACED = 1024  # the same where a slider redraws it, or it is painted on
_KEPT = 8  # small copies in memory, of 3 or 4 MB each
_OUTPUTS = 2**25  # bytes of the network's outputs in memory: some 40 photos
_DIMMED = 0.25  # what remains of the background's light where a mask is shown

Path = str | os.PathLike[str]
Tell = Callable[[float, str], object]  # share done, 0 to 1, and current step
logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class MaskFile:
  """A file in which the foreground is white, or black if inverted."""

  path: Path
  inverted: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Painted:
  """A foreground painted over: uint8 [h, w] on a small copy."""

  layer: np.ndarray


@dataclasses.dataclass(frozen=True)
class Cutout:
  """A foreground of another file, which has alpha.

  across, down: percent of the photo, where the cut-out's centre goes.
  size: percent; at 100 the cut-out is as large as the photo has room for.
  """

  path: Path
  across: float = 50
  down: float = 50
  size: float = 50


Foreground = MaskFile | Painted | Cutout


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
  """What was asked for, all but the strength, which may change afterwards."""

  photo: Path
  foreground: Foreground
  feather: float = 0.0
  background: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
  """The file at full size; small copies from before and after; remarks."""

  path: pathlib.Path
  before: Image.Image
  after: Image.Image
  notes: tuple[str, ...]


class Work:
  """Harmonizes files into a folder; may be called from several threads.

  Args:
    network: does the work.
    folder: each result gets a folder in it.
    max_pixels: of a photo, mask or cut-out; larger ones are refused.
  """

  def __init__(
    self, network: Harmonizer, folder: pathlib.Path, max_pixels: int
  ):
    # Outputs are kept for all visitors: another strength runs no network.
    self._network, self._folder = network.remembering(_OUTPUTS), folder
    self._max_pixels = max_pixels
    self._small = functools.lru_cache(_KEPT)(self._read_small)

  def warm_up(self) -> None:
    """Compile the network, which is the same for all sizes."""
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    self._network(np.full((64, 64, 3), 128, np.uint8), mask)

  def show(self, photo: Path) -> Image.Image:
    """A small copy of any file."""
    return _shown(self._small(photo))

  def show_mask(self, photo: Path, mask: MaskFile) -> Image.Image:
    """A small copy in which the background is dark."""
    small = self._small(photo)
    light, _ = self._mask(mask, small)
    light = light[..., None] * (1 - _DIMMED) + _DIMMED
    pixels = np.rint(small.pixels * light).astype(np.uint8)
    return Image.fromarray(pixels)

  def show_cutout(self, photo: Path, cutout: Cutout) -> Image.Image:
    """A small copy with the cut-out where it will be."""
    small = self._small(photo)
    pasted = _paste(self._small(cutout.path), small, cutout)
    shown = dataclasses.replace(pasted.photo, pixels=pasted.pixels)
    return _shown(shown)

  def harmonize(
    self,
    photo: Path,
    foreground: Foreground,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
    tell: Tell = lambda share, what: None,
  ) -> Result:
    """Recolour the foreground of a photo, or the background to fit it.

    Args:
      tell: is told how far it is.

    Raises:
      UserError: for files that are no images, too large or unfit, and options
        out of range.
    """
    change = ChangeOptions(strength, feather, background)
    tell(0.05, "reading")
    picture = self._read(photo)
    composite, changed, remedy = picture.pixels, None, ""
    if isinstance(foreground, Cutout):
      cutout = self._read(foreground.path)
      pasted = _paste(cutout, picture, foreground)
      notes = [*picture.notes, *cutout.notes, *pasted.notes]
      picture, composite, mask = pasted.photo, pasted.pixels, pasted.mask
    else:
      mask, mask_notes = self._mask(foreground, picture)
      notes = [*picture.notes, *mask_notes]
      changed = change.region(mask)
      if isinstance(foreground, MaskFile):
        remedy = "switch on 'Black is the object'"
    if report := masks.report(mask, remedy, picture.alpha):
      notes.append(report)
    tell(0.3, "harmonizing")
    pixels = self._network.harmonize(composite, mask, change, picture.alpha)
    tell(0.6, "writing")
    # The extension is that of the contents, or .png where they are not written.
    source = pathlib.Path(photo)
    name = f"{source.stem}-harmonized{suffix_of(format_in(source))}"
    path = self._folder / uuid.uuid4().hex / name
    notes += write_picture(picture, pixels, path, mask=changed)
    before, after = (
      _shown(_reduced(dataclasses.replace(picture, pixels=shown), SHOWN))
      for shown in (composite, pixels)
    )
    return Result(path, before, after, tuple(notes))

  def _read(self, path: Path) -> Picture:
    return read_picture(_upload(path), self._max_pixels)

  def _read_small(self, path: Path) -> Picture:
    return _reduced(self._read(path), PLACED)

  def _mask(
    self, foreground: MaskFile | Painted, picture: Picture
  ) -> tuple[np.ndarray, list[str]]:
    """The mask in the photo's size, float32 [H, W] in 0 to 1, and notes."""
    if isinstance(foreground, MaskFile):
      return read_mask(
        _upload(foreground.path),
        picture.size,
        resize=True,
        invert=foreground.inverted,
        orientation=picture.orientation,
        max_pixels=self._max_pixels,
      )
    if not foreground.layer.any():
      raise UserError("nothing is painted yet; paint over the object")
    layer = Image.fromarray(foreground.layer)
    if layer.size != picture.size:
      layer = layer.resize(picture.size, Image.Resampling.BILINEAR)
    return np.asarray(layer) / np.float32(255), []


def explain_errors(
  function: Callable, make_error: Callable[[str], Exception]
) -> Callable:
  """Wrap a function of the page, so that it raises what the page can show.

  The page shows a UserError's message. Any other error goes to the terminal.

  Args:
    function: of positional arguments.
    make_error: makes the exception to raise from a message.
  """

  @functools.wraps(function)  # the HTTP API has its parameters
  def call(*values: Any) -> Any:
    try:
      return function(*values)
    except UserError as error:
      raise make_error(str(error)) from None
    except Exception:
      logger.exception("the web page could not do its work")
      raise make_error(
        "Something went wrong here that should not; the terminal of hdnet demo "
        "says more."
      ) from None

  return call


def _upload(path: Path) -> io.BytesIO:
  """Read an upload, named without our folder, for error messages."""
  path = pathlib.Path(path)
  try:
    file = io.BytesIO(path.read_bytes())
  except OSError:  # uploads are deleted after a while
    raise UserError(f"{path.name} is gone from here; upload it again") from None
  file.name = path.name
  return file


def _paste(cutout: Picture, photo: Picture, place: Cutout) -> Pasted:
  """Paste at a place in percent, which is the same at every size."""
  room = min(
    side / own for side, own in zip(photo.size, cutout.size, strict=True)
  )
  scale = room * place.size / 100
  at = [
    # At 100 percent one column or row stays on the photo.
    min(round(side * share / 100 - own * scale / 2), side - 1)
    for side, own, share in zip(
      photo.size, cutout.size, (place.across, place.down), strict=True
    )
  ]
  return paste(cutout, photo, (at[0], at[1]), scale)


def _reduced(picture: Picture, side: int) -> Picture:
  """A copy of 8 bits, whose sides are `side` at most."""
  samples = to_uint8(picture.pixels)
  if picture.alpha is not None:  # by which Pillow weighs the colours
    samples = np.dstack((samples, to_uint8(picture.alpha)))
  small = Image.fromarray(samples)
  small.thumbnail((side, side), Image.Resampling.BILINEAR)
  samples = np.asarray(small)
  return Picture(
    samples[..., :3],
    None if picture.alpha is None else samples[..., 3],
    picture.name,
    orientation=picture.orientation,
    metadata=Metadata(icc=picture.metadata.icc),
  )


def _shown(picture: Picture) -> Image.Image:
  """Return the picture as a browser shows it, white where transparent."""
  image = Image.fromarray(picture.pixels)
  if picture.alpha is None:
    return image
  white = Image.new("RGB", image.size, "white")
  return Image.composite(image, white, Image.fromarray(picture.alpha))
