"""A mask for every frame: a folder of images, a video, or one for all."""

import itertools
import pathlib
import re
from collections.abc import Iterator

import numpy as np
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.folders import files_in, told
from hdnet_jax.image_formats import NAMES, NOT_READ, format_of
from hdnet_jax.inference.masks import read_mask
from hdnet_jax.video import colours, reading
from hdnet_jax.video.reading import Clip

# Of 255: what a video's compression leaves of black and takes of white.
_NOISE = 8


class FrameMasks:
  """The masks of a video's frames, read one at a time.

  Args:
    path: a folder of mask images, one a frame, in the order of their names
      with numbers by their value; a video, of which Y' is the mask; or an image
      that is the mask of every frame. All are of the size that the video is
      shown in, upright.
    clip: the video.
    resize: whether masks of another size are resized.
    invert: whether black is the foreground.

  Attributes:
    notes: on files of the folder that are no masks.

  Raises:
    UserError: where there is none, or not one a frame; and for a mask video of
      another size.
  """

  def __init__(
    self,
    path: str | pathlib.Path,
    clip: Clip,
    resize: bool = False,
    invert: bool = False,
  ):
    self.path = pathlib.Path(path)
    self._clip, self._resize, self._invert = clip, resize, invert
    self._files: list[pathlib.Path] = []
    self._video: Clip | None = None
    self.notes: list[str] = []
    if self.path.is_dir():
      self._files = _images(self.path, self.notes)
      self._check_count(len(self._files))
      self._read(self._files[0])  # what is wrong with all is found at once
    elif _is_image(self.path):
      self._read(self.path)
    else:
      self._video = reading.inspect(self.path)
      self._check_size(self._video.shown)
      self._check_count(self._video.frames)

  def __iter__(self) -> Iterator[np.ndarray]:
    """float32 [H, W] in 0 to 1, upright; of one mask, the same without end."""
    if self._video:
      return self._of_video(self._video)
    if self._files:
      return map(self._read, self._files)
    return itertools.repeat(self._read(self.path))

  def mismatch(self) -> UserError:
    """Counts masks and frames, which is done by decoding."""
    masks, frames = self.count(), reading.count(self._clip.path)
    return UserError(
      f"{self.path} has {masks:,} masks and {self._clip.path} {frames:,} "
      "frames; give one mask a frame, or an image that is the mask of all"
    )

  @property
  def endless(self) -> bool:
    return not self._files and not self._video

  def count(self) -> int:
    """How many there are, of a folder or video."""
    return reading.count(self.path) if self._video else len(self._files)

  def _check_count(self, masks: int) -> None:
    # In few codecs a packet is not a frame: then the frames themselves tell.
    if masks != self._clip.frames and self.count() != reading.count(
      self._clip.path
    ):
      raise self.mismatch()

  def _check_size(self, size: tuple[int, int]) -> None:
    if size != self._clip.shown and not self._resize:
      width, height = self._clip.shown
      raise UserError(
        f"{self.path} has {size[0]}x{size[1]} pixels and its video "
        f"{width}x{height}; make masks of the video's size, or give "
        "--resize-mask"
      )

  def _read(self, file: pathlib.Path) -> np.ndarray:
    return read_mask(file, self._clip.shown, self._resize, self._invert)

  def _of_video(self, video: Clip) -> Iterator[np.ndarray]:
    for frame in reading.frames(video.path):
      mask = np.rot90(colours.to_gray(frame), video.turns)
      mask = ((mask * 255 - _NOISE) / (255 - 2 * _NOISE)).clip(0, 1)
      if mask.shape[::-1] != self._clip.shown:
        image = Image.fromarray(np.ascontiguousarray(mask))
        image = image.resize(self._clip.shown, Image.Resampling.BILINEAR)
        mask = np.asarray(image).clip(0, 1)
      yield 1 - mask if self._invert else mask


def _is_image(path: pathlib.Path) -> bool:
  """Whether a file is an image by its name; a GIF that moves is a video."""
  format = format_of(path)
  if format == "GIF":
    return reading.inspect(path).frames == 1
  return format is not None


def _images(folder: pathlib.Path, notes: list[str]) -> list[pathlib.Path]:
  """Its images in order; frame_9 comes before frame_10."""
  listing = files_in(folder, deep=False)
  files = listing.files
  if hidden := [path for path in listing.hidden if format_of(path)]:
    notes.append(told(hidden, "hidden file", "left out"))
  if others := sorted(path for path in files if not format_of(path)):
    notes.append(told(others, "file", NOT_READ))
  found = [path for path in files if format_of(path)]
  if not found:
    raise UserError(
      f"{folder} has no mask image; they are {NAMES}, one a frame"
    )
  return sorted(found, key=_natural)


def _natural(path: pathlib.Path) -> list[str | int]:
  parts = re.split(r"(\d+)", path.name)
  return [int(part) if part.isdecimal() else part for part in parts]
