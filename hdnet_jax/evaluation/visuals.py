"""Pictures for people: a labelled grid of examples, a scatter of errors."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdnet_jax.evaluation.tables import RATIO_BINS, Row, ratio_bin

COLUMNS = ("composite", "mask", "harmonized", "real", "error before", "after")
ERROR_SCALE = 64  # levels of mean error that are shown brightest
_MARGIN = 6
_MIN_WIDTH = 144  # of a picture: its labels fit
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)
# Colours that colour-blind people tell apart (Okabe and Ito 2008).
_COLORS = ("#0072B2", "#E69F00", "#009E73")


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One example's images, uint8 [H, W, 3] (mask [H, W, 1], 0/1)."""

  title: str
  composite: np.ndarray
  mask: np.ndarray
  harmonized: np.ndarray
  real: np.ndarray

  def psnr(self, image: np.ndarray) -> float:
    error = np.mean(np.square(image.astype(np.float64) - self.real))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def grid(comparisons: Sequence[Comparison]) -> Image.Image:
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
    top = line + 2 * _MARGIN + row * cell_height
    for column, (image, text) in enumerate(_cells(comparison)):
      left = column * cell_width + _MARGIN
      canvas.paste(picture(image, factor), (left, top))
      _label(draw, font, left, top + height, width, text)
  return canvas


def contact_sheet(
  examples: Sequence[Mapping[str, np.ndarray]], columns: int = 3
) -> Image.Image:
  """Training examples, composite | mask | truth, `columns` of them a row.

  Below each stands how far its foreground is off. Images narrower than 144
  pixels are enlarged by a whole factor.

  Args:
    examples: `composite` and `real`, uint8 [H, W, 3], `mask`, uint8 0/1.
  """
  height, width = examples[0]["real"].shape[:2]
  factor = -(-_MIN_WIDTH // width)
  height, width = factor * height, factor * width
  size = max(11, min(20, width // 11))
  font = ImageFont.load_default(size)
  line = round(1.5 * size)
  cell_width = 3 * (width + _MARGIN) + 2 * _MARGIN
  cell_height = height + line + _MARGIN
  rows = -(-len(examples) // columns)
  canvas = Image.new(
    "RGB",
    (columns * cell_width, rows * cell_height + _MARGIN),
    _BACKGROUND,
  )
  draw = ImageDraw.Draw(canvas)
  for number, example in enumerate(examples):
    left = number % columns * cell_width + _MARGIN
    top = number // columns * cell_height + _MARGIN
    for name in ("composite", "mask", "real"):
      canvas.paste(picture(example[name], factor), (left, top))
      text = "truth" if name == "real" else name
      if name == "composite":
        text = f"fMSE {_foreground_error(example):.0f}"
      _label(draw, font, left, top + height, width, text)
      left += width + _MARGIN
  return canvas


def _foreground_error(example: Mapping[str, np.ndarray]) -> float:
  difference = example["composite"].astype(float) - example["real"]
  area = max(int(example["mask"].sum()), 1)
  return float(np.sum(np.square(difference) * example["mask"]) / (3 * area))


def _cells(comparison: Comparison) -> list[tuple[np.ndarray, str]]:
  """What a row of the grid shows, and says below, by column."""
  before, after = comparison.composite, comparison.harmonized
  share = 100 * comparison.mask.mean()
  return [
    (before, f"{comparison.psnr(before):.1f} dB"),
    (comparison.mask, f"foreground {share:.0f} %"),
    (after, f"{comparison.psnr(after):.1f} dB"),
    (comparison.real, comparison.title),
    (error_map(before, comparison.real), f"black 0, white {ERROR_SCALE}"),
    (error_map(after, comparison.real), "mean of channels"),
  ]


def error_map(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """The absolute difference, mean of the channels, as colours.

  Black is none; the brightest is 64 levels of 255 or more. One scale for all
  images: maps can be compared.
  """
  from matplotlib import colormaps  # half a second, for those who look

  error = np.abs(image.astype(np.float32) - truth).mean(axis=-1)
  colors = colormaps["inferno"](np.minimum(error / ERROR_SCALE, 1.0))
  return np.round(255 * colors[..., :3]).astype(np.uint8)


def scatter(rows: Sequence[Row], path: pathlib.Path) -> None:
  """fMSE before and after, a point an image, coloured by foreground share.

  Points below the diagonal have improved. Both axes are logarithmic; images
  whose foreground is exact lie at the axis' lower end. A panel a protocol.
  """
  from matplotlib.figure import Figure

  protocols = sorted({row["protocol"] for row in rows}, reverse=True)
  figure = Figure(figsize=(5.2 * len(protocols), 4.8), layout="constrained")
  panels = figure.subplots(1, len(protocols), squeeze=False)[0]
  for panel, protocol in zip(panels, protocols, strict=True):
    _scatter(panel, [row for row in rows if row["protocol"] == protocol])
    panel.set_title(f"protocol {protocol!r}")
  figure.savefig(path, dpi=120, metadata={"Software": None})


def _scatter(panel, rows: Sequence[Row]) -> None:
  low = 1e-1  # a foreground without any visible error
  values = np.array([[r["composite_fmse"], r["harmonized_fmse"]] for r in rows])
  values = np.maximum(values, low)
  bins = np.array([ratio_bin(row) for row in rows])
  better = np.mean(values[:, 1] < values[:, 0])
  for (name, _), color in zip(RATIO_BINS, _COLORS, strict=True):
    before, after = values[bins == name].T
    panel.scatter(
      before,
      after,
      s=12,
      alpha=0.6,
      linewidths=0,
      color=color,
      label=f"foreground {name}: {len(before):,}",
    )
  limits = (values.min() / 1.5, values.max() * 1.5)
  panel.plot(limits, limits, color="0.5", linewidth=1, label="unchanged")
  panel.set(
    xscale="log",
    yscale="log",
    xlim=limits,
    ylim=limits,
    xlabel="fMSE of the composite",
    ylabel=f"fMSE of the harmonized image ({better:.0%} are lower)",
  )
  panel.legend(loc="upper left", fontsize=8, frameon=False)
  panel.grid(alpha=0.2)


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
