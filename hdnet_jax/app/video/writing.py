"""A video file that has another's streams, and new frames."""

import pathlib
import re
from collections.abc import Iterator
from typing import Literal

import av
from av.container import InputContainer
from av.stream import Stream
from av.video.frame import PictureType

from hdnet_jax.app.video import colours
from hdnet_jax.app.video.reading import Clip
from hdnet_jax.errors import UserError
from hdnet_jax.images.writing import check_free

Encoder = Literal["libx264", "libvpx-vp9"]
# Of a file's extension: the container and the encoder of its frames.
FORMATS: dict[str, tuple[str, Encoder]] = {
  ".mp4": ("mp4", "libx264"),
  ".m4v": ("mp4", "libx264"),
  ".mov": ("mov", "libx264"),
  ".mkv": ("matroska", "libx264"),
  ".webm": ("webm", "libvpx-vp9"),
}
# Containers whose players (QuickTime, phones) show colours of half the size and
# 8 bits only.
_PLAYED = (".mp4", ".m4v", ".mov")
# How colours are stored, see `Writer`; the default is "420" for _PLAYED.
Chroma = Literal["420", "source"]
# Constant rate factors: the default, of hardly visible loss, and the highest.
_QUALITIES = {"libx264": (17, 51), "libvpx-vp9": (20, 63)}
_OPTIONS = {
  "libx264": {"preset": "medium"},
  "libvpx-vp9": {"deadline": "good", "cpu-used": "4", "row-mt": "1"},
}
# Tags of a stream that are wrong once it is encoded anew: of alpha, and
# statistics, as mkvmerge writes them, perhaps with a language behind.
_OF_STREAMS = re.compile(
  r"(alpha_mode|duration|encoder|handler_name|vendor_id|bps|number_of_\w+"
  r"|_statistics_\w+|source_id)(-\w+)?",
  re.IGNORECASE,
)
# Tags of a container that the muxer writes itself.
_OF_CONTAINERS = (
  *("major_brand", "minor_version", "compatible_brands"),
  "encoder",
)


def check_output(path: pathlib.Path, quality: int | None, force: bool) -> None:
  """Find what cannot be written before anything is computed.

  Raises:
    UserError: for another extension or quality, and for a file that exists
      where not `force`.
  """
  if path.suffix.lower() not in FORMATS:
    raise UserError(
      f"{path} names no format that can be written; end it in one of "
      f"{', '.join(FORMATS)}"
    )
  _, encoder = FORMATS[path.suffix.lower()]
  _, most = _QUALITIES[encoder]
  if quality is not None and not 0 <= quality <= most:
    raise UserError(f"quality is {quality} and must be 0 to {most}")
  check_free(path, force)


class Writer:
  """Write a video's frames and copy its other streams.

  Every frame keeps its time, and the video its rotation, its colour tags and
  the shape of its pixels. Packets of sound and subtitles are copied as they
  are. A with statement ends the file.

  Args:
    path: of an extension of `FORMATS`; an existing file is replaced.
    source: the open video.
    video: the stream of `source` whose frames are new.
    clip: what `reading.inspect` found in it.
    quality: constant rate factor, less is better; by default 17 of H.264 and 20
      of VP9.
    chroma: "420" for 8 bits and colours of half the size, which needs even
      sides in H.264: an odd one gets a pixel more, like the one beside it;
      "source" for the video's own bits and colours, where the encoder has them;
      by default the first in .mp4, .m4v and .mov, and the second in others.

  Attributes:
    notes: what of the video is not kept, in sentences.
    copied: the source's streams that are copied.

  Raises:
    UserError: for sound that the container does not take.
  """

  def __init__(
    self,
    path: pathlib.Path,
    source: InputContainer,
    video: av.VideoStream,
    clip: Clip,
    quality: int | None = None,
    chroma: Chroma | None = None,
  ):
    self.notes: list[str] = []
    self._suffix = path.suffix.lower()
    kind, encoder = FORMATS[self._suffix]
    if quality is None:
      quality, _ = _QUALITIES[encoder]
    self._output = av.open(f"file:{path}", "w", format=kind)
    self._tags(source)
    self._stream = self._output.add_stream(
      encoder,
      rate=video.average_rate or video.guessed_rate,
      options={"crf": str(quality), **_OPTIONS[encoder]},
      time_base=video.time_base,
    )
    chroma = chroma or ("420" if self._suffix in _PLAYED else "source")
    self._set_up(video, clip, encoder, chroma)
    self._copies = dict(self._copied(source, video))
    self.copied = [s for s in source.streams if s.index in self._copies]
    self._next = 0
    self._step = _step(video)

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None:
      self._output.mux(self._stream.encode(None))
    self._output.close()

  def planar(self, frame: av.VideoFrame) -> av.VideoFrame:
    """Convert a frame to the format that is written."""
    return colours.planar(frame, self._pixel_format)

  def write(self, frame: av.VideoFrame) -> None:
    """Encode a frame of the format of `planar`, at its own time."""
    if frame.pts is None:
      frame.pts = self._next
    self._next = frame.pts + (frame.duration or self._step)
    if (frame.width, frame.height) != (self._stream.width, self._stream.height):
      frame = colours.pad_to_even(frame)
    frame.pict_type = PictureType.NONE  # the encoder decides
    self._output.mux(self._stream.encode(frame))

  def copy(self, packet: av.Packet) -> None:
    """Copy a packet of one of the streams `copied`."""
    if packet.dts is None and not packet.size:
      return  # the one that ends a stream
    packet.stream = self._copies[packet.stream_index]
    self._output.mux(packet)

  def _tags(self, source: InputContainer) -> None:
    self._output.metadata.update(
      (name, value)
      for name, value in source.metadata.items()
      if name not in _OF_CONTAINERS
    )
    self._output.set_chapters(source.chapters())

  def _set_up(
    self, video: av.VideoStream, clip: Clip, encoder: Encoder, chroma: Chroma
  ) -> None:
    stream, context = self._stream, video.codec_context
    width, height = clip.stored
    codec = av.Codec(encoder, "w")
    takes = {format.name for format in codec.video_formats or ()}
    even = not (width % 2 or height % 2) or encoder != "libx264"
    format = context.format
    if format is None:
      raise UserError(
        f"{clip.path} has frames of an unknown format; encode it anew"
      )
    self._pixel_format = pixel_format(format, takes, even, chroma)
    stream.pix_fmt = self._pixel_format
    keep = "; --chroma source keeps them" if chroma == "420" else ""
    if stream.pix_fmt != context.pix_fmt:
      self.notes.append(
        f"Frames are {stream.pix_fmt}, where the input's are "
        f"{context.pix_fmt}{keep}."
      )
    if chroma == "420" and not even:
      width, height = width + width % 2, height + height % 2
      self.notes.append(
        f"Frames are {width}x{height}, where the input's are {clip.stored[0]}x"
        f"{clip.stored[1]}: their last pixels are repeated{keep}."
      )
    stream.width, stream.height = width, height
    if video.sample_aspect_ratio:
      stream.sample_aspect_ratio = video.sample_aspect_ratio
    for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
      setattr(stream, tag, getattr(context, tag))
    if format.is_rgb:
      stream.colorspace, stream.color_range = 1, 1  # as colours.planar makes it
    stream.set_display_matrix(clip.matrix)
    stream.disposition = video.disposition
    stream.metadata.update(
      (name, value)
      for name, value in video.metadata.items()
      if not _OF_STREAMS.fullmatch(name)
    )
    if clip.transparent:
      self.notes.append("The video's transparency (alpha) is left out.")

  def _copied(
    self, source: InputContainer, video: av.VideoStream
  ) -> Iterator[tuple[int, Stream]]:
    """Add the streams that are copied; yield their indices, and the copies."""
    for stream in source.streams:
      if stream.index == video.index:
        continue
      name = f"stream {stream.index} ({stream.type})"
      try:
        if stream.type not in ("audio", "subtitle") or not stream.codec_context:
          raise ValueError
        copy = self._output.add_stream_from_template(stream)
      except ValueError:
        if stream.type == "audio":
          raise UserError(
            f"{self._suffix} does not take the sound of the video, which is "
            f"{stream.codec_context and stream.codec_context.name}; choose .mkv"
          ) from None
        self.notes.append(f"{name.capitalize()} is left out.")
        continue
      copy.disposition = stream.disposition
      copy.metadata.update(stream.metadata)
      yield stream.index, copy


def pixel_format(
  source: av.VideoFormat, takes: set[str], even: bool, chroma: Chroma
) -> str:
  """Choose the format to write, of `colours.PLANAR` and what an encoder takes.

  The source's format and bits are kept if they can be. RGB has colours at every
  pixel, and so has the format for it.

  Args:
    source: what the video has.
    takes: names of formats.
    even: whether colours may be of half the size; else they are of the whole.
    chroma: as of `Writer`.
  """
  name = source.name
  if not (colours.PLANAR.fullmatch(name) and name in takes):
    deep = max(part.bits for part in source.components) > 8
    name = "yuv444p" if source.is_rgb else "yuv420p"
    if deep and f"{name}10le" in takes:
      name += "10le"
  if chroma == "420":
    return re.sub("4(22|44)", "420", name).removesuffix("10le")
  return name if even else name.replace("420", "444").replace("422", "444")


def _step(video: av.VideoStream) -> int:
  """Return a frame's duration in the stream's units, if frames have none."""
  rate = video.average_rate or video.guessed_rate
  if not rate or not video.time_base:
    return 1
  return max(round(1 / (float(rate) * float(video.time_base))), 1)
