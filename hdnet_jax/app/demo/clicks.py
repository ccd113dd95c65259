"""What clicks do: from what the page holds to `Work`, and back to the page."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from hdnet_jax.app.demo.examples import Sample
from hdnet_jax.app.demo.work import Cutout, Foreground, MaskFile, Painted, Work
from hdnet_jax.errors import UserError

MASK, PAINT, CUTOUT = "mask", "paint", "cutout"  # ids of the tabs
_PAINTED = 128  # alpha from which a pixel counts as painted


def forget():
  """Show nothing, and no result, while another photo is opened."""
  no_file = gr.DownloadButton(value=None, interactive=False)
  return _pictured(None), None, _pictured(None), None, no_file, ""


def show(work: Work, photo: str | None):
  """Show the photo, to be painted on."""
  if photo is None:
    return None
  image = work.show(photo)
  return {"background": image, "layers": [], "composite": None}


def show_mask(
  work: Work, photo: str | None, mask: str | None, inverted: bool
) -> gr.Image:
  """Show what of the photo the mask lets change."""
  if photo is None or mask is None:
    return _pictured(None)
  return _pictured(work.show_mask(photo, MaskFile(mask, inverted)))


def show_cutout(
  work: Work, photo: str | None, cutout: str | None, *place: float
) -> gr.Image:
  """Show the cut-out where it goes."""
  if photo is None or cutout is None:
    return _pictured(None)
  return _pictured(work.show_cutout(photo, Cutout(cutout, *place)))


def harmonize(work: Work, photo: str | None, *values: Any):
  """Show before and after, the file to download, and notes."""
  *foreground, strength, feather, background = values
  if photo is None:
    raise UserError("there is no photo yet; drop one")
  result = work.harmonize(
    photo, _foreground(*foreground), strength, feather, background
  )
  notes = "\n".join(f"- {note}" for note in result.notes)
  download = gr.DownloadButton(value=result.path, interactive=True)
  return (result.before, result.after), download, notes


def _foreground(
  tab: str,
  mask: str | None,
  inverted: bool,
  painted: dict[str, Any] | None,
  cutout: str | None,
  *place: float,
) -> Foreground:
  """What the open tab says of the foreground."""
  if tab == PAINT:
    layers = (painted or {}).get("layers") or [np.zeros((1, 1, 4), np.uint8)]
    over = np.max([layer[..., 3] for layer in layers], axis=0)
    return Painted(np.where(over >= _PAINTED, 255, 0).astype(np.uint8))
  if tab == CUTOUT:
    if cutout is None:
      raise UserError("there is no cut-out yet; drop one")
    return Cutout(cutout, *place)
  if mask is None:
    raise UserError("there is no mask yet; drop one, or paint it")
  return MaskFile(mask, inverted)


def load_example(samples: Sequence[Sample], index: int):
  """Drop the files of an example, and open the tab of its foreground."""
  sample = samples[index]
  tab = CUTOUT if sample.cutout else MASK
  files = (sample.photo, sample.mask, sample.cutout)
  paths = (None if file is None else str(file) for file in files)
  return gr.Tabs(selected=tab), *paths, *sample.place, tab


def _pictured(image: Image.Image | None) -> gr.Image:
  """Make a `_picture` show an image, or hide for None."""
  return gr.Image(value=image, visible=image is not None)
