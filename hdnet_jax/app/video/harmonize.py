"""Harmonize a video, frame by frame, with changes that do not flicker.

Memory is that of a few frames, for any length.

A network's outputs for two frames that look the same differ a little, which
shows as flicker. So the maps of `guided_filter.fit`, from colour to change of
colour, are smoothed over time, and not pixels. A map belongs to the light at
its place, which varies slowly, while pixels move: smoothing maps blurs nothing
and leaves no ghosts. Noise of the video itself is not smoothed: the maps
multiply it, as they do colours.
"""

import functools
import math
import pathlib
from collections.abc import Callable

import av
import numpy as np
from av.container import InputContainer

from hdnet_jax.app.video import colours, reading
from hdnet_jax.app.video.frame_masks import FrameMasks
from hdnet_jax.app.video.reading import Clip
from hdnet_jax.app.video.writing import Chroma, Writer
from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.change import ChangeOptions, feather_mask
from hdnet_jax.inference.harmonizer import Harmonizer

SMOOTHING = 0.5  # seconds
# A scene begins where the mean change of the small frame, of colours from 0 to
# 1, is larger. Noise and motion stay below it. The only harm of a false cut is
# that one frame is not smoothed.
CUT = 0.1
_WHOLE_CHANGE = ChangeOptions()


class Smoother:
  """A first-order recursive filter over the maps of successive frames.

  A frame moves the filter's maps towards its own by 1 - exp(-t / seconds),
  where t is the time since the last frame, so that smoothing does not depend on
  the frame rate, which may vary. The first frame, and the first after a cut,
  keeps its own maps.

  Args:
    seconds: the time constant, 0 or more; 0 smooths nothing.

  Raises:
    UserError: for `seconds` out of range.
  """

  def __init__(self, seconds: float):
    if not 0 <= seconds < math.inf:
      raise UserError(f"smoothing={seconds} is not in seconds, 0 or more")
    self._seconds = seconds
    self._last: tuple[np.ndarray, np.ndarray, float] | None = None

  def __call__(
    self, maps: np.ndarray, image: np.ndarray, time: float
  ) -> np.ndarray:
    """Smooth the maps of a frame.

    Args:
      maps: of `guided_filter.fit`, float32 [3, 4, h, w].
      image: the small frame that they are of, float [h, w, 3] in -1 to 1.
      time: when it is shown, in seconds.
    """
    if self._seconds and self._last is not None:
      last, before, when = self._last
      if np.abs(image - before).mean() / 2 <= CUT:
        share = -math.expm1(-max(time - when, 0) / self._seconds)
        maps = last + np.float32(share) * (maps - last)
    self._last = maps, image, time
    return maps


class FrameHarmonizer:
  """Harmonize frames that follow each other.

  Args:
    network: of mode "guided".
    change: how much of the change is made, and where.
    smoothing: time constant of `Smoother`, in seconds; 0 smooths nothing.

  Raises:
    UserError: for another mode, and for `smoothing` out of range.
  """

  def __init__(
    self,
    network: Harmonizer,
    change: ChangeOptions = _WHOLE_CHANGE,
    smoothing: float = SMOOTHING,
  ):
    if network.mode != "guided":
      raise UserError("only what mode guided makes can be smoothed over time")
    self._network, self._smoother = network, Smoother(smoothing)
    self._change = change
    # The last mask, and the region and share made of it.
    self._mask: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    self.changed = 0

  def __call__(
    self,
    image: Callable[[], np.ndarray],
    mask: np.ndarray,
    time: float,
  ) -> np.ndarray | None:
    """Return what is to be added to the frame, float32 [H, W, 3], or None.

    Args:
      image: gives the frame, float32 [H, W, 3] in 0 to 1; called only if
        anything changes.
      mask: float32 [H, W] in 0 to 1.
      time: when the frame is shown, in seconds.
    """
    mask, share = self._prepared(mask)
    if not self._change.strength or not (mask > 0.5).any():
      return None
    self.changed += 1
    pixels = image()
    maps, seen = self._network.fit_maps(pixels, mask)
    maps = self._smoother(maps, seen, time)
    result = guided_filter.apply(maps, pixels, share, self._change.strength)
    result -= pixels
    return result

  def _prepared(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the region that changes and its share; prepare a mask once."""
    if self._mask is None or self._mask[0] is not mask:
      region = self._change.region(mask)
      share = feather_mask(region, self._change.feather)
      self._mask = mask, region, share
    return self._mask[1:]


def harmonize_video(
  clip: Clip,
  masks: FrameMasks,
  output: pathlib.Path,
  harmonizer: FrameHarmonizer,
  quality: int | None = None,
  watch: Callable[[], None] = lambda: None,
  chroma: Chroma | None = None,
) -> list[str]:
  """Write the video with its frames harmonized; return notes for the user.

  Frames keep their times. Sound and subtitles are copied, packet by packet. An
  existing file is replaced when the new one is whole; a failure leaves nothing.

  Args:
    clip: the video, as `reading.inspect` gives it.
    masks: one a frame.
    output: of an extension of `writing.FORMATS`.
    harmonizer: a new one.
    quality: as of `Writer`.
    watch: called after every frame.
    chroma: as of `Writer`.

  Raises:
    UserError: where a file cannot be read or written, and where there is not
      one mask a frame.
  """
  notes: list[str] = []

  def write(path: pathlib.Path) -> None:
    try:
      with reading.opened(clip.path) as source:
        video = reading.video_stream(source)
        with Writer(path, source, video, clip, quality, chroma) as writer:
          _harmonize(source, video, masks, writer, harmonizer, clip, watch)
          notes.extend(writer.notes)
    except av.FFmpegError as error:
      raise UserError(
        f"{output} cannot be written ({error.strerror})"
      ) from None

  write_then_rename(output, write)
  notes[:0] = masks.notes
  if not harmonizer.changed:
    notes.append(
      f"Nothing is changed, for no mask of {masks.path} is anywhere over half "
      "white; white is foreground: if it is black here, give --invert-mask."
    )
  return notes


def _harmonize(
  source: InputContainer,
  video: av.VideoStream,
  masks: FrameMasks,
  writer: Writer,
  harmonizer: FrameHarmonizer,
  clip: Clip,
  watch: Callable[[], None],
) -> None:
  remaining, done = iter(masks), 0
  for packet in reading.packets(source, [video, *writer.copied]):
    if packet.stream_index != video.index:
      writer.copy(packet)
      continue
    for frame in reading.decoded(packet, clip.path):
      mask = next(remaining, None)
      if mask is None:
        raise masks.mismatch()
      if (frame.width, frame.height) != clip.stored:
        raise UserError(
          f"{clip.path} changes its size from {clip.stored[0]}x"
          f"{clip.stored[1]} to {frame.width}x{frame.height} at frame "
          f"{done + 1:,}; split it there"
        )
      frame = writer.planar(frame)
      image = functools.partial(_upright, frame, clip.turns)
      change = harmonizer(image, mask, frame.time or 0)
      if change is not None:
        colours.add(frame, np.rot90(change, -clip.turns))
      writer.write(frame)
      done += 1
      watch()
  if not masks.endless and next(remaining, None) is not None:
    raise masks.mismatch()


def _upright(frame: av.VideoFrame, turns: int) -> np.ndarray:
  return np.rot90(colours.to_rgb(frame), turns)
