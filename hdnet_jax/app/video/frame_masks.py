"""A mask for every frame: a folder of images, a video, or one for all."""

import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from hdnet_jax.app.video import colours, reading
from hdnet_jax.app.video.reading import Clip
from hdnet_jax.errors import UserError
from hdnet_jax.images.folders import describe_files, files_in
from hdnet_jax.images.formats import NAMES, NOT_READ, format_of
from hdnet_jax.images.mask_reading import fit, holds_ones, read_mask

# Of 255: how far a video's compression may move black and white.
_NOISE = 8
_HALF = 0.5 / 255  # between 0 and 1 of 255, in masks whose white is 1
_ONE = 1.5 / 255


class FrameMasks:
  """The masks of a video's frames, read one at a time.

  Args:
    path: a folder of mask images, one a frame, in the order of their names
      with numbers by their value; a video, of which Y' is the mask; or an image
      that is the mask of every frame. Masks have the size of the upright video;
      those of the size in which it is stored are turned.
    clip: the video.
    resize: whether masks of another size are resized, of the same shape.
    invert: whether black is the foreground.

  Attributes:
    notes: sentences on how the masks are taken, and on files of the folder
      that are none.

  Raises:
    UserError: where there is no mask, or not one for each frame; and for a
      mask video of another size.
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
    self._notes: dict[str, None] = {}  # a set that keeps its order
    self._ones = True
    if self.path.is_dir():
      self._files, notes = _images(self.path)
      self._add_notes(notes)
      self._check_count(len(self._files))
      # 1 is white only if no file has more: a black frame may have specks of 1.
      self._ones = all(map(holds_ones, self._files))
      self._read(self._files[0])  # what is wrong with all is found at once
    elif _is_image(self.path):
      self._read(self.path)
    else:
      self._video = reading.inspect(self.path)
      self._fit = fit(
        str(self.path),
        self._video.shown,
        clip.shown,
        self._video.orientation,
        clip.orientation,
        resize,
      )
      self._add_notes(self._fit.notes)
      self._check_count(self._video.frames)
      self._ones = _is_of_ones(self._video)
      if self._ones:
        self._add_notes(
          [f"{self.path} has no value above 1: 1 is white in it."]
        )

  def __iter__(self) -> Iterator[np.ndarray]:
    """Yield masks, upright, float32 [H, W] in 0 to 1; a single one forever."""
    if self._video:
      return self._of_video(self._video)
    if self._files:
      return map(self._read, self._files)
    return itertools.repeat(self._read(self.path))

  def mismatch(self) -> UserError:
    """Return the error of unequal counts; count by decoding."""
    masks, frames = self._count(), reading.count(self._clip.path)
    return UserError(
      f"{self.path} has {masks:,} masks and {self._clip.path} {frames:,} "
      "frames; give one mask a frame, or an image that is the mask of all"
    )

  @property
  def notes(self) -> list[str]:
    return list(self._notes)

  @property
  def endless(self) -> bool:
    return not self._files and not self._video

  def _count(self) -> int:
    return reading.count(self.path) if self._video else len(self._files)

  def _check_count(self, masks: int) -> None:
    # In a few codecs a packet is not a frame: count decoded frames.
    frames = self._clip.frames
    if masks != frames and self._count() != reading.count(self._clip.path):
      raise self.mismatch()

  def _add_notes(self, notes: Iterable[str]) -> None:
    self._notes.update(dict.fromkeys(notes))

  def _read(self, file: pathlib.Path) -> np.ndarray:
    mask, notes = read_mask(
      file,
      self._clip.shown,
      self._resize,
      self._invert,
      self._clip.orientation,
      ones=self._ones,
    )
    # A note is told once for all the files of a folder.
    self._add_notes(note.replace(str(file), str(self.path)) for note in notes)
    return mask

  def _of_video(self, video: Clip) -> Iterator[np.ndarray]:
    for frame in reading.frames(video.path):
      mask = np.rot90(colours.to_gray(frame), video.turns)
      if self._ones:
        mask = (mask > _HALF).astype(np.float32)
      else:
        mask = ((mask * 255 - _NOISE) / (255 - 2 * _NOISE)).clip(0, 1)
      mask = self._fit(mask)
      yield 1 - mask if self._invert else mask


def _is_of_ones(video: Clip) -> bool:
  """Return whether the largest value of a mask video is 1, of 255."""
  most = 0.0
  for frame in reading.frames(video.path):
    most = max(most, float(colours.to_gray(frame).max()))
    if most > _ONE:
      return False
  return most > _HALF


def _is_image(path: pathlib.Path) -> bool:
  """Whether a file is an image by its name; a GIF that moves is a video."""
  format = format_of(path)
  if format == "GIF":
    return reading.inspect(path).frames == 1
  return format is not None


def _images(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
  """The images of a folder, frame_9 before frame_10, and notes."""
  listing, notes = files_in(folder, deep=False), []
  if hidden := [path for path in listing.hidden if format_of(path)]:
    notes.append(describe_files(hidden, "hidden file", "left out"))
  if others := sorted(path for path in listing.files if not format_of(path)):
    notes.append(describe_files(others, "file", NOT_READ))
  images = [path for path in listing.files if format_of(path)]
  if not images:
    raise UserError(
      f"{folder} has no mask image; they are {NAMES}, one a frame"
    )

  def by_number(path: pathlib.Path) -> list[str | int]:
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdecimal() else part for part in parts]

  return sorted(images, key=by_number), notes
