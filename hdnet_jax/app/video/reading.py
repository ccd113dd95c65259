"""Video files, read a packet and a frame at a time."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Generator, Iterable, Iterator

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition, Stream

from hdnet_jax.errors import UserError

# A file is cut off if it is shorter than its header says by more than this.
_MISSING_SECONDS = 0.5
# Containers whose headers have the duration; of others FFmpeg guesses it.
_HAVE_DURATION = ("mp4", "matroska")
# Formats of images and text, which FFmpeg takes for videos of one frame.
_NO_VIDEOS = ("image2", "tty")


@dataclasses.dataclass(frozen=True)
class Clip:
  """What is known of a video before its frames are read.

  Attributes:
    path: its file.
    frames: number of packets, which is that of frames in all but rare codecs.
    stored: width and height of its frames.
    turns: quarter turns, counterclockwise, by which they are shown upright.
    matrix: display matrix of turns and mirroring, nine numbers; None if there
      is none.
    transparent: whether it has alpha, as far as its tags and format tell.
  """

  path: pathlib.Path
  frames: int
  stored: tuple[int, int]
  turns: int
  matrix: tuple[int, ...] | None
  transparent: bool = False

  @property
  def orientation(self) -> int:
    """The turns, as EXIF says them."""
    return (1, 8, 3, 6)[self.turns]

  @property
  def shown(self) -> tuple[int, int]:
    """Width and height, upright."""
    width, height = self.stored
    return (height, width) if self.turns % 2 else (width, height)


def inspect(path: str | os.PathLike[str]) -> Clip:
  """Read a video's packets, and decode its first frame.

  Raises:
    UserError: for what is no video, has no picture, or is cut off.
  """
  path = pathlib.Path(path)
  frames, parts, first, end = 0, 0, None, 0.0
  with opened(path) as container:
    video = video_stream(container)
    for packet in packets(container, container.streams):
      if packet.is_corrupt:
        raise _cut_off(path)
      if packet.stream == video and first is None:
        first = next(iter(decoded(packet, path)), None)
      if packet.dts is None and not packet.size:
        continue  # at the end, for the decoder to give what it still has
      if packet.pts is not None:
        after = packet.pts + (packet.duration or 0)
        end = max(end, float(after * packet.time_base))
      if packet.stream == video:
        parts += 1
        frames += not packet.is_discard
    if first is None:
      raise UserError(f"{path} has no frames; is it cut off?")
    if parts < len(video.index_entries) or end < _least_end(container):
      raise _cut_off(path)
    transparent = _is_transparent(video, first)
  return Clip(
    path,
    frames,
    (first.width, first.height),
    round(first.rotation / 90) % 4,
    _matrix(first),
    transparent,
  )


def frames(path: pathlib.Path) -> Iterator[av.VideoFrame]:
  """Decode a video's frames, one after another."""
  with opened(path) as container:
    for packet in packets(container, [video_stream(container)]):
      yield from decoded(packet, path)


def count(path: pathlib.Path) -> int:
  """Count the frames by decoding them."""
  return sum(1 for _ in frames(path))


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Generator[InputContainer]:
  """Open a video.

  Raises:
    UserError: if there is none.
  """
  if path.is_dir() or not path.exists():
    what = "is a folder" if path.is_dir() else "does not exist"
    raise UserError(f"{path} {what}; give a video file")
  with _as_user_error(path):
    container = av.open(f"file:{path}", metadata_errors="replace")
  with container:
    yield container


def video_stream(container: InputContainer) -> av.VideoStream:
  """Find the first video stream that is no cover picture.

  Raises:
    UserError: if there is none.
  """
  cover = Disposition.attached_pic
  moving = [s for s in container.streams.video if not s.disposition & cover]
  name = _name(container)
  kind = container.format.name
  if kind in _NO_VIDEOS or kind.endswith("_pipe"):
    raise UserError(f"{name} is no video; of an image, use hdnet harmonize")
  if not moving or moving[0].codec_context is None:
    raise UserError(f"{name} has no video stream that can be decoded")
  moving[0].thread_type = "AUTO"
  return moving[0]


def packets(
  container: InputContainer, streams: Iterable[Stream]
) -> Iterator[av.Packet]:
  """Read the streams' packets, in the file's order; the last ones are empty.

  Raises:
    UserError: if they cannot be read.
  """
  # Errors of the code that uses the packets do not pass through here.
  with _as_user_error(_name(container)):
    yield from container.demux(*streams)


def decoded(packet: av.Packet, path: pathlib.Path) -> list[av.VideoFrame]:
  """Decode the frames that a packet completes.

  Raises:
    UserError: if it is damaged.
  """
  with _as_user_error(path):
    frames = packet.decode()
  for frame in frames:
    if frame.is_corrupt:
      raise UserError(
        f"{path} is damaged at {frame.time:.2f} s; repair or encode it anew"
      )
  return frames


@contextlib.contextmanager
def _as_user_error(path: str | os.PathLike[str]) -> Generator[None]:
  """Turn FFmpeg's errors into UserErrors."""
  try:
    yield
  except av.FFmpegError as error:
    raise UserError(
      f"{path} cannot be read as a video ({error.strerror}); it is none, or "
      "damaged"
    ) from None


def _name(container: InputContainer) -> str:
  return container.name.removeprefix("file:")


def _least_end(container: InputContainer) -> float:
  """Return the earliest end of a whole file's last packet, in seconds."""
  if not any(name in container.format.name for name in _HAVE_DURATION):
    return 0.0
  end = (container.start_time or 0) + (container.duration or 0)
  return end / av.time_base - _MISSING_SECONDS


def _cut_off(path: pathlib.Path) -> UserError:
  return UserError(f"{path} is cut off or damaged; copy it anew")


def _is_transparent(video: av.VideoStream, frame: av.VideoFrame) -> bool:
  # WebM's alpha is a second video beside the first, which decoders pass over.
  tagged = any(
    name.lower() == "alpha_mode" and value == "1"
    for name, value in video.metadata.items()
  )
  return tagged or any(part.is_alpha for part in frame.format.components)


def _matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
  kind = SideData.DISPLAYMATRIX
  if kind not in frame.side_data:
    return None
  return tuple(np.frombuffer(bytes(frame.side_data[kind]), np.int32).tolist())
