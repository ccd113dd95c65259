"""A strip of strengths, side by side, for a person to choose from.

The network runs once: a strength only scales the change that it makes.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.strength import PREVIEWED

SIDE = 640  # pixels of a picture's longer side, at most
_GAP, _LABEL, _FONT = 8, 32, 20  # pixels between pictures, above them, of words
_PEAK = 255


def draw_strip(
  before: np.ndarray,
  after: np.ndarray,
  strengths: Iterable[float] = PREVIEWED,
  alpha: np.ndarray | None = None,
  side: int = SIDE,
) -> np.ndarray:
  """Draw a picture at several strengths, each under its number.

  Args:
    before: [H, W, 3] of a type of `white_level`.
    after: the same, changed at strength 1.
    strengths: from left to right.
    alpha: of that type, [H, W]; what is transparent is drawn white.
    side: the longer side in pixels, at most; larger images are reduced.

  Returns:
    uint8 [h, w, 3].
  """
  small = _reduce(before, alpha, side)
  change = _reduce(after, alpha, side) - small
  columns = [
    _label(f"strength {strength:g}", np.clip(small + strength * change, 0, 255))
    for strength in strengths
  ]
  return _join(columns)


def _reduce(
  image: np.ndarray, alpha: np.ndarray | None, side: int
) -> np.ndarray:
  """Return a small copy on white, float32 [h, w, 3] in 0 to 255."""
  height, width = image.shape[:2]
  scale = min(1, side / max(height, width))
  size = max(1, round(width * scale)), max(1, round(height * scale))
  unit = np.float32(_PEAK / guided_filter.white_level(image.dtype))
  share = None if alpha is None else alpha * (unit / _PEAK)

  def reduce_channel(channel: int) -> np.ndarray:
    plane = image[..., channel] * unit
    if share is not None:
      plane = _PEAK - share * (_PEAK - plane)
    plane = Image.fromarray(plane.astype(np.float32, copy=False))
    return np.asarray(plane.resize(size, Image.Resampling.BILINEAR))

  return np.stack([reduce_channel(channel) for channel in range(3)], axis=-1)


def _label(words: str, picture: np.ndarray) -> Image.Image:
  """Return a picture with words above it, as wide as both need."""
  font = ImageFont.load_default(_FONT)
  image = Image.fromarray(np.rint(picture).astype(np.uint8))
  width = max(image.width, round(font.getlength(words)) + _GAP)
  column = Image.new("RGB", (width, image.height + _LABEL), "white")
  middle = width // 2, _LABEL // 2
  ImageDraw.Draw(column).text(middle, words, "black", font, anchor="mm")
  column.paste(image, ((width - image.width) // 2, _LABEL))
  return column


def _join(columns: Iterable[Image.Image]) -> np.ndarray:
  """Put columns of one height side by side."""
  parts = [np.asarray(column) for column in columns]
  gap = np.full((parts[0].shape[0], _GAP, 3), _PEAK, np.uint8)
  with_gaps = [part for column in parts for part in (gap, column)]
  return np.concatenate(with_gaps[1:], axis=1)
