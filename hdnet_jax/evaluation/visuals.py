"""Pictures of examples, of errors and of an ablation."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdnet_jax.config import ModelConfig
from hdnet_jax.evaluation.tables import RATIO_BINS, Row, ratio_bin

if TYPE_CHECKING:
  from matplotlib.axes import Axes

COLUMNS = ("composite", "mask", "harmonized", "real", "error before", "after")
ERROR_SCALE = 64  # levels of mean error that are shown brightest
_MARGIN = 6
_MIN_WIDTH = 144  # of a picture: its labels fit
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)
# Colours that colour-blind people tell apart (Okabe and Ito 2008).
_BLUE, _ORANGE, _YELLOW, _GREEN = "#0072B2", "#D55E00", "#E69F00", "#009E73"
_GREY = "#808080"


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


class _Page:
  """A white page of pictures of one size, with a label below each.

  Pictures narrower than 144 pixels are enlarged by a whole factor.
  """

  def __init__(self, image: np.ndarray):
    height, width = image.shape[:2]
    self._factor = -(-_MIN_WIDTH // width)
    self._height, self.width = self._factor * height, self._factor * width
    size = max(11, min(20, self.width // 11))
    self._font = ImageFont.load_default(size)
    self.line = round(1.5 * size)
    self.cell_width = self.width + _MARGIN
    self.cell_height = self._height + self.line + _MARGIN

  def start(self, width: int, height: int) -> None:
    """Make the canvas, of this size in pixels."""
    self.canvas = Image.new("RGB", (width, height), _BACKGROUND)
    self._draw = ImageDraw.Draw(self.canvas)

  def paste(self, image: np.ndarray, text: str, left: int, top: int) -> None:
    """Add an image and the text below it."""
    self.canvas.paste(picture(image, self._factor), (left, top))
    self.label(text, left, top + self._height)

  def label(self, text: str, left: int, top: int) -> None:
    """Write centered text, shortened to the width of a picture."""
    text = shortened(text, self._font, self.width)
    left += (self.width - self._font.getlength(text)) / 2
    self._draw.text((left, top + 1), text, fill=_INK, font=self._font)


def grid(comparisons: Sequence[Comparison]) -> Image.Image:
  """Draw a row for each example, with its PSNR before and after."""
  page = _Page(comparisons[0].real)
  first = page.line + 2 * _MARGIN  # top of the first row
  page.start(
    len(COLUMNS) * page.cell_width + _MARGIN,
    first + len(comparisons) * page.cell_height,
  )
  lefts = [_MARGIN + i * page.cell_width for i in range(len(COLUMNS))]
  for left, title in zip(lefts, COLUMNS, strict=True):
    page.label(title, left, _MARGIN)
  for row, comparison in enumerate(comparisons):
    for left, cell in zip(lefts, _cells(comparison), strict=True):
      page.paste(*cell, left, first + row * page.cell_height)
  return page.canvas


def contact_sheet(
  examples: Sequence[Mapping[str, np.ndarray]], columns: int = 3
) -> Image.Image:
  """Draw training examples, composite | mask | truth, `columns` in a row.

  The label of a composite is the fMSE between it and the truth.

  Args:
    examples: `composite` and `real`, uint8 [H, W, 3], `mask`, uint8 0/1.
  """
  page = _Page(examples[0]["real"])
  width = 3 * page.cell_width + 2 * _MARGIN
  rows = -(-len(examples) // columns)
  page.start(columns * width, rows * page.cell_height + _MARGIN)
  for number, example in enumerate(examples):
    row, column = divmod(number, columns)
    top = row * page.cell_height + _MARGIN
    labels = {
      "composite": f"fMSE {_foreground_error(example):.0f}",
      "mask": "mask",
      "real": "truth",
    }
    for place, (name, text) in enumerate(labels.items()):
      left = column * width + _MARGIN + place * page.cell_width
      page.paste(example[name], text, left, top)
  return page.canvas


def shortened(
  text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
  """Cut text that is wider than `width` pixels, with an ellipsis."""
  while font.getlength(text) > width and len(text) > 2:
    text = text[:-2].rstrip("….") + "…"
  return text


def _foreground_error(example: Mapping[str, np.ndarray]) -> float:
  difference = example["composite"].astype(float) - example["real"]
  area = max(int(example["mask"].sum()), 1)
  return float(np.sum(np.square(difference) * example["mask"]) / (3 * area))


def _cells(comparison: Comparison) -> list[tuple[np.ndarray, str]]:
  """Return the images of a row of the grid, and their labels."""
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
  """Color the absolute difference, mean of the channels.

  Black is 0, and the brightest is 64 levels of 255 or more, for all images.
  """
  from matplotlib import colormaps  # slow to import

  error = np.abs(image.astype(np.float32) - truth).mean(axis=-1)
  colors = colormaps["inferno"](np.minimum(error / ERROR_SCALE, 1.0))
  return np.round(255 * colors[..., :3]).astype(np.uint8)


def scatter(rows: Sequence[Row], path: pathlib.Path) -> None:
  """Write a PNG of fMSE before and after, with a panel for each protocol.

  An image is a point, coloured by its foreground's share; points below the
  diagonal have improved. Both axes are logarithmic, and an exact foreground
  lies at the lower end.
  """
  from matplotlib.figure import Figure

  protocols = sorted({row["protocol"] for row in rows}, reverse=True)
  figure = Figure(figsize=(5.2 * len(protocols), 4.8), layout="constrained")
  panels = figure.subplots(1, len(protocols), squeeze=False)[0]
  for panel, protocol in zip(panels, protocols, strict=True):
    _scatter(panel, [row for row in rows if row["protocol"] == protocol])
    panel.set_title(f"protocol {protocol!r}")
  figure.savefig(path, dpi=120, metadata={"Software": None})


def _scatter(panel: "Axes", rows: Sequence[Row]) -> None:
  low = 1e-1  # shown for a foreground without visible error
  errors = np.array([[r["composite_fmse"], r["harmonized_fmse"]] for r in rows])
  errors = np.maximum(errors, low)
  bins = np.array([ratio_bin(row) for row in rows])
  better = np.mean(errors[:, 1] < errors[:, 0])
  for (name, _), color in zip(
    RATIO_BINS, (_BLUE, _YELLOW, _GREEN), strict=True
  ):
    before, after = errors[bins == name].T
    panel.scatter(
      before,
      after,
      s=12,
      alpha=0.6,
      linewidths=0,
      color=color,
      label=f"foreground {name}: {len(before):,}",
    )
  limits = (errors.min() / 1.5, errors.max() * 1.5)
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
  """Enlarge a uint8 photo, or a 0/1 mask shown in black and white."""
  if image.shape[-1] == 1:
    shown = Image.fromarray(np.repeat(255 * image, 3, axis=-1))
    method = Image.Resampling.NEAREST
  else:
    shown, method = Image.fromarray(image), Image.Resampling.BICUBIC
  return shown.resize((factor * shown.width, factor * shown.height), method)


def draw_ablation(report: dict[str, Any], path: pathlib.Path) -> None:
  """Write a PNG of `ablation.summarize`'s report.

  The left panel shows PSNR by row. If there are rows that differ in the number
  of neighbors only, the right one shows their PSNR and fMSE by that number.
  """
  from matplotlib.figure import Figure

  curve = neighbors_curve(report["rows"])
  panels = 2 if curve else 1
  height = max(3.2, 1.4 + 0.36 * len(report["rows"]))
  figure = Figure(figsize=(5.6 * panels, height), dpi=150, layout="constrained")
  axes = figure.subplots(1, panels, squeeze=False)[0]
  _draw_rows(axes[0], report)
  if curve:
    _draw_curve(axes[1], curve)
  figure.savefig(path, format="png")


def neighbors_curve(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Return the rows that differ in K only, by K; empty for fewer than two.

  K has no meaning without the paper's LD.
  """
  groups: dict[ModelConfig, dict[int, dict]] = {}
  for row in rows:
    model = ModelConfig(**row["model"])
    if model.local_dynamics == "paper" and row["means"]["psnr"] is not None:
      rest = dataclasses.replace(model, neighbors=1)
      groups.setdefault(rest, {}).setdefault(model.neighbors, row)
  most = max(groups.values(), key=len, default={})
  return [most[k] for k in sorted(most)] if len(most) > 1 else []


def _draw_rows(axis: "Axes", report: dict[str, Any]) -> None:
  rows = report["rows"]
  for place, row in enumerate(rows):
    mean, bounds = row["means"]["psnr"], row["psnr_interval"]
    if mean is None or bounds is None:
      continue  # every image equals its truth
    if row["row"] == report["baseline"]:
      axis.axvline(mean, color=_GREY, linewidth=0.8, linestyle=":", zorder=0)
    axis.plot(bounds, [place, place], color=_BLUE, linewidth=1.6)
    axis.plot(mean, place, "o", color=_BLUE)
    seeds = [means["psnr"] for means in row["seeds"].values()]
    if len(seeds) > 1 and None not in seeds:
      axis.plot(seeds, [place] * len(seeds), "|", color=_ORANGE, markersize=9)
  axis.set_yticks(range(len(rows)), [row["row"] for row in rows])
  axis.set_ylim(len(rows) - 0.5, -0.5)  # the first row is on top
  many = any(len(row["seeds"]) > 1 for row in rows)
  axis.set_xlabel(
    "PSNR in dB ↑, with 95 % interval over images"
    + ("; ticks are seeds" if many else "")
  )
  axis.grid(axis="x", color="#E0E0E0", linewidth=0.6)
  axis.set_axisbelow(True)
  _hide_frame(axis)


def _draw_curve(axis: "Axes", curve: list[dict[str, Any]]) -> None:
  neighbors = [row["model"]["neighbors"] for row in curve]
  other = axis.twinx()
  for side, name, label, color, style in (
    (axis, "psnr", "PSNR in dB ↑", _BLUE, "o-"),
    (other, "fmse", "fMSE ↓", _ORANGE, "s--"),
  ):
    side.plot(neighbors, [row["means"][name] for row in curve], style, c=color)
    side.set_ylabel(label, color=color)
    side.tick_params(axis="y", colors=color)
    side.margins(y=0.15)
    # Whole numbers, without an offset in a corner.
    side.ticklabel_format(axis="y", useOffset=False)
  axis.set_xticks(neighbors)
  axis.set_xlabel("K, the neighbors of local dynamics")
  _hide_frame(axis)
  other.spines["top"].set_visible(False)


def _hide_frame(axis: "Axes") -> None:
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)
