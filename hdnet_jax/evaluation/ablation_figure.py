"""The figure of an ablation: rows with intervals, and metrics against K."""

import dataclasses
import pathlib
from typing import Any

from hdnet_jax.config import ModelConfig

# Told apart by the colour-blind, and in grey by their markers.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#808080"


def draw(report: dict[str, Any], path: pathlib.Path) -> None:
  """Writes a PNG of `ablation_table.summarize`'s report.

  Left is PSNR by row. Right is PSNR and fMSE against the number of neighbors,
  where two rows or more differ in nothing else.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  curve = neighbors_curve(report["rows"])
  panels = 2 if curve else 1
  height = max(3.2, 1.4 + 0.36 * len(report["rows"]))
  figure = Figure(figsize=(5.6 * panels, height), dpi=150, layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots(1, panels, squeeze=False)[0]
  _draw_rows(axes[0], report)
  if curve:
    _draw_curve(axes[1], curve)
  figure.savefig(path, format="png")


def neighbors_curve(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """The rows, by K, of the most values of K with the same model besides.

  Empty where there are not two. K has no meaning without the paper's LD.
  """
  groups: dict[ModelConfig, dict[int, dict]] = {}
  for row in rows:
    model = ModelConfig(**row["model"])
    if model.local_dynamics == "paper" and row["means"]["psnr"] is not None:
      rest = dataclasses.replace(model, neighbors=1)
      groups.setdefault(rest, {}).setdefault(model.neighbors, row)
  most = max(groups.values(), key=len, default={})
  return [most[k] for k in sorted(most)] if len(most) > 1 else []


def _draw_rows(axis, report: dict[str, Any]) -> None:
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
  _clear(axis)


def _draw_curve(axis, curve: list[dict[str, Any]]) -> None:
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
    # Whole numbers: no offset in a corner to add in one's head.
    side.ticklabel_format(axis="y", useOffset=False)
  axis.set_xticks(neighbors)
  axis.set_xlabel("K, the neighbors of local dynamics")
  _clear(axis)
  other.spines["top"].set_visible(False)


def _clear(axis) -> None:
  for side in ("top", "right"):
    axis.spines[side].set_visible(False)
