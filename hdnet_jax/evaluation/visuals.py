"""Pictures for people: a labelled grid of examples."""

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFont

COLUMNS = ("composite", "mask", "harmonized", "real")
_MARGIN = 6
_MIN_WIDTH = 144  # of a picture: its labels fit
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One example's images, uint8 [H, W, 3] (mask [H, W, 1], 0/1), and values."""

  name: str
  composite: np.ndarray
  mask: np.ndarray
  harmonized: np.ndarray
  real: np.ndarray
  composite_psnr: float
  harmonized_psnr: float


def grid(comparisons: list[Comparison]) -> Image.Image:
  """A row an example, a column an image, with PSNR before and after.

  Images narrower than 144 pixels are enlarged by a whole factor.
  """
  height, width = comparisons[0].real.shape[:2]
  factor = -(-_MIN_WIDTH // width)
  height, width = factor * height, factor * width
  size = max(11, min(20, width // 11))
  font = ImageFont.load_default(size)
  line = round(1.5 * size)
  cell_width, cell_height = width + _MARGIN, height + line + _MARGIN
  canvas = Image.new(
    "RGB",
    (
      len(COLUMNS) * cell_width + _MARGIN,
      len(comparisons) * cell_height + line + 2 * _MARGIN,
    ),
    _BACKGROUND,
  )
  draw = ImageDraw.Draw(canvas)
  for column, title in enumerate(COLUMNS):
    _label(draw, font, column * cell_width + _MARGIN, _MARGIN, width, title)
  for row, comparison in enumerate(comparisons):
    captions = (
      f"{comparison.composite_psnr:.1f} dB",
      "foreground white",
      f"{comparison.harmonized_psnr:.1f} dB",
      comparison.name,
    )
    top = line + 2 * _MARGIN + row * cell_height
    for column, (name, text) in enumerate(zip(COLUMNS, captions, strict=True)):
      left = column * cell_width + _MARGIN
      canvas.paste(picture(getattr(comparison, name), factor), (left, top))
      _label(draw, font, left, top + height, width, text)
  return canvas


def picture(image: np.ndarray, factor: int) -> Image.Image:
  """A uint8 photo, or a 0/1 mask in black and white, `factor` times as wide."""
  if image.shape[-1] == 1:
    shown = Image.fromarray(np.repeat(255 * image, 3, axis=-1))
    method = Image.Resampling.NEAREST
  else:
    shown, method = Image.fromarray(image), Image.Resampling.BICUBIC
  return shown.resize((factor * shown.width, factor * shown.height), method)


def _label(draw, font, left: int, top: int, width: int, text: str) -> None:
  """Centred text, shortened to fit."""
  while draw.textlength(text, font=font) > width and len(text) > 2:
    text = text[:-2].rstrip("….") + "…"
  left += (width - draw.textlength(text, font=font)) / 2
  draw.text((left, top + 1), text, fill=_INK, font=font)
