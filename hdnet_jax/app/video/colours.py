"""The colours of a video frame, and a change of them, in its own planes.

A frame has planes Y', Cb and Cr, of which the latter may be smaller, in the
matrix and range that it is tagged with. A change is added to the planes: where
it is 0, samples stay as they are, and detail in colour is not blurred.
"""

import dataclasses
import re

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from hdnet_jax.errors import UserError

# Formats whose planes are worked on.
PLANAR = re.compile(r"yuvj?4(20|22|44)p(10le)?")
# Kr and Kb of each AVColorSpace (ITU-T H.273, Table 4).
_WEIGHTS = {
  1: (0.2126, 0.0722),  # BT.709
  4: (0.30, 0.11),  # FCC
  5: (0.299, 0.114),  # BT.601, 625 lines
  6: (0.299, 0.114),  # BT.601, 525 lines
  7: (0.212, 0.087),  # SMPTE 240M
  9: (0.2627, 0.0593),  # BT.2020
}
_RGB, _UNTAGGED = 0, 2
_FULL = 2  # AVColorRange
_EXACT = (
  Interpolation.BICUBIC
  | Interpolation.ACCURATE_RND
  | Interpolation.FULL_CHR_H_INT
  | Interpolation.FULL_CHR_H_INP
)


@dataclasses.dataclass(frozen=True)
class Coding:
  """How a frame's samples are made of R, G and B in 0 to 1.

  Attributes:
    red: of Y', the weight of R (Kr).
    blue: of Y', the weight of B (Kb).
    black: the sample of Y' = 0.
    luma: steps from `black` to the sample of Y' = 1.
    chroma: steps from the least Cb or Cr to the greatest.
    depth: bits of a sample.
  """

  red: float
  blue: float
  black: int
  luma: int
  chroma: int
  depth: int

  @property
  def green(self) -> float:
    return 1 - self.red - self.blue


def planar(frame: av.VideoFrame, name: str) -> av.VideoFrame:
  """Convert a frame to the format of that name, one of `PLANAR`.

  RGB becomes BT.709 of limited range; other tags are kept. A frame that has the
  format is returned as it is.
  """
  if frame.format.name == name:
    return frame
  tags = {}
  if frame.format.is_rgb:
    tags = {"dst_colorspace": 1, "dst_color_range": 1}
  return frame.reformat(format=name, interpolation=_EXACT, **tags)


def pad_to_even(frame: av.VideoFrame) -> av.VideoFrame:
  """Repeat the last pixels of odd sides, in an 8-bit 4:2:0 frame."""
  width, height = (side + side % 2 for side in (frame.width, frame.height))
  result = av.VideoFrame(width, height, frame.format.name)
  for old, new in zip(planes(frame), planes(result), strict=True):
    after = np.subtract(new.shape, old.shape)
    new[:] = np.pad(old, [(0, count) for count in after], mode="edge")
  for name in ("pts", "time_base", "colorspace", "color_range"):
    setattr(result, name, getattr(frame, name))
  return result


def coding(frame: av.VideoFrame) -> Coding:
  """Find the coding of a frame of a `PLANAR` format.

  An untagged frame is taken as players do: BT.709 from 720 lines or 1280
  columns on, below it BT.601; of limited range.

  Raises:
    UserError: for a matrix that is not a weighted sum, such as ICtCp.
  """
  matrix = frame.colorspace
  if matrix in (_UNTAGGED, _RGB):
    large = frame.width >= 1280 or frame.height >= 720
    matrix = 1 if large else 6
  if matrix not in _WEIGHTS:
    raise UserError(
      f"its colours are coded by matrix {matrix} (of ITU-T H.273), which is "
      "not supported; convert it to BT.709 or BT.2020"
    )
  red, blue = _WEIGHTS[matrix]
  depth = 10 if frame.format.name.endswith("10le") else 8
  white, step = 2**depth - 1, 2 ** (depth - 8)
  full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
  if full:
    return Coding(red, blue, 0, white, white, depth)
  return Coding(red, blue, 16 * step, 219 * step, 224 * step, depth)


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
  """Convert a frame of a `PLANAR` format to float32 [H, W, 3] in 0 to 1."""
  code = coding(frame)
  luma, *chroma = planes(frame)
  y = (luma.astype(np.float32) - code.black) / code.luma
  middle = 2 ** (code.depth - 1)
  cb, cr = ((_stretched(c, y.shape) - middle) / code.chroma for c in chroma)
  red = y + 2 * (1 - code.red) * cr
  blue = y + 2 * (1 - code.blue) * cb
  green = (y - code.red * red - code.blue * blue) / code.green
  # Only this copy is clipped: the planes keep what lies outside.
  return np.stack([red, green, blue], axis=-1).clip(0, 1)


def add(frame: av.VideoFrame, change: np.ndarray) -> None:
  """Add a change of R, G and B, float [H, W, 3], to the frame's planes.

  Sums are rounded once. A sample of a smaller plane gets the mean change.
  """
  code = coding(frame)
  frame.make_writable()
  weights = np.array([code.red, code.green, code.blue], change.dtype)
  y = change @ weights
  cb, cr = (
    (change[..., channel] - y) * np.float32(code.chroma / (2 * (1 - weight)))
    for channel, weight in ((2, code.blue), (0, code.red))
  )
  changes = (y * np.float32(code.luma), cb, cr)
  for plane, values in zip(planes(frame), changes, strict=True):
    result = np.rint(plane + _shrunk(values, plane))
    plane[:] = result.clip(0, 2**code.depth - 1)


def to_gray(frame: av.VideoFrame) -> np.ndarray:
  """Return Y' of any frame, float32 [H, W], 0 to 1 from black to white."""
  if not PLANAR.fullmatch(frame.format.name):
    frame = planar(frame, "yuv444p")
  code = coding(frame)
  luma = planes(frame)[0].astype(np.float32)
  return ((luma - code.black) / code.luma).clip(0, 1)


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
  """Views of the samples, which can be written to."""
  wide = frame.format.name.endswith("10le")
  views = []
  for plane in frame.planes:
    rows = np.frombuffer(memoryview(plane), "<u2" if wide else np.uint8)
    rows = rows.reshape(plane.height, -1)[:, : plane.width]
    views.append(rows if plane.line_size > 0 else rows[::-1])
  return views


def _stretched(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """Resize to float32 of that shape, bilinear."""
  plane = plane.astype(np.float32)
  if plane.shape == shape:
    return plane
  down, across = _steps(plane, shape)
  # Of an odd size the last sample is used in part.
  box = (0, 0, shape[1] / across, shape[0] / down)
  image = Image.fromarray(plane)
  size = shape[1], shape[0]
  return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


def _shrunk(values: np.ndarray, plane: np.ndarray) -> np.ndarray:
  """Average the block of pixels of each sample of the plane."""
  if values.shape == plane.shape:
    return values
  (height, width), (down, across) = plane.shape, _steps(plane, values.shape)
  after = (height * down - values.shape[0], width * across - values.shape[1])
  values = np.pad(values, [(0, count) for count in after], mode="edge")
  return values.reshape(height, down, width, across).mean(axis=(1, 3))


def _steps(plane: np.ndarray, shape: tuple[int, int]) -> tuple[int, int]:
  """Return the rows and columns of pixels of each sample of the plane."""
  return -(-shape[0] // plane.shape[0]), -(-shape[1] // plane.shape[1])
