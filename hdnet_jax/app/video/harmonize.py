"""A video harmonized: one frame after another, each read, changed, written.

Memory is that of a few frames, for any length.
"""

import functools
import pathlib
from collections.abc import Callable

import av
import numpy as np

from hdnet_jax.app.video import colours, reading
from hdnet_jax.app.video.frame_masks import FrameMasks
from hdnet_jax.app.video.reading import Clip
from hdnet_jax.app.video.smoothing import Smoother
from hdnet_jax.app.video.writing import Chroma, Writer
from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.change import ChangeOptions, feather_mask
from hdnet_jax.inference.harmonizer import Harmonizer

SMOOTHING = 0.5  # seconds
_WHOLE_CHANGE = ChangeOptions()


class FrameHarmonizer:
  """Harmonizes frames that follow each other.

  Args:
    network: of mode "guided".
    change: how much of the change is made, and where.
    smoothing: time constant of `Smoother`, in seconds; 0 smooths nothing.

  Raises:
    UserError: for other values.
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
    # The last mask, and what it was made to.
    self._mask: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    self.changed = 0

  def __call__(
    self,
    image: Callable[[], np.ndarray],
    mask: np.ndarray,
    time: float,
  ) -> np.ndarray | None:
    """What is to be added to the frame, float32 [H, W, 3]; None for nothing.

    Args:
      image: gives the frame, float32 [H, W, 3] in 0 to 1; asked only where
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
    """What changes, and how much of it; one mask for all is made once."""
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
  """Writes the video with its frames harmonized; returns notes for the user.

  Frames keep their times. Sound and subtitles are copied, packet by packet.
  Nothing is left behind where it fails, and an existing file is replaced only
  when the new one is whole.

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
  source: av.container.InputContainer,
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
