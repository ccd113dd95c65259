"""Handlers of the page's events: they call `Work`, and update the page."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from hdnet_jax.app.demo.examples import Sample
from hdnet_jax.app.demo.work import (
  Cutout,
  Foreground,
  MaskFile,
  Painted,
  Request,
  Work,
)
from hdnet_jax.errors import UserError

MASK, PAINT, CUTOUT = "mask", "paint", "cutout"  # ids of the tabs
_PAINTED = 128  # alpha from which a pixel counts as painted
_PROGRESS = gr.Progress()  # as a default, it is replaced by the event's own


def forget():
  """Clear the pictures and the result while another photo is opened."""
  no_file = gr.DownloadButton(value=None, interactive=False)
  nothing = _pictured(None)
  return nothing, nothing, None, nothing, None, None, no_file, ""


def show(work: Work, photo: str | None):
  """Show the photo, and let it be painted on."""
  if photo is None:
    return _pictured(None), None
  image = work.show(photo)
  painted = {"background": image, "layers": [], "composite": None}
  return _pictured(image), painted


def show_mask(
  work: Work, photo: str | None, mask: str | None, inverted: bool
) -> gr.Image:
  """Show what the mask marks of the photo; without a photo, the mask."""
  if mask is None:
    return _pictured(None)
  if photo is None:
    return _pictured(work.show(mask))
  return _pictured(work.show_mask(photo, MaskFile(mask, inverted)))


def show_cutout(
  work: Work, photo: str | None, cutout: str | None, *place: float
) -> gr.Image:
  """Show the cut-out where it goes; without a photo, the cut-out."""
  if cutout is None:
    return _pictured(None)
  if photo is None:
    return _pictured(work.show(cutout))
  return _pictured(work.show_cutout(photo, Cutout(cutout, *place)))


def harmonize(
  work: Work,
  photo: str | None = None,
  tab: str = MASK,
  mask: str | None = None,
  inverted: bool = False,
  painted: dict[str, Any] | None = None,
  cutout: str | None = None,
  across: float = 50,
  down: float = 50,
  size: float = 50,
  strength: float = 1,
  feather: float = 0,
  background: bool = False,
  progress: gr.Progress = _PROGRESS,
):
  """Show before and after, the file to download, and notes."""
  place = across, down, size
  foreground = tab, mask, inverted, painted, cutout, place
  asked = _request(photo, foreground, feather, background)
  return _harmonize(work, asked, strength, progress)


def remember(photo: str | None, *values: Any) -> Request | None:
  """Return the request, so that its strength can be changed later.

  Return None if something is missing; `harmonize` then says what.
  """
  *foreground, across, down, size, feather, background = values
  given = *foreground, (across, down, size)
  try:
    return _request(photo, given, feather, background)
  except UserError:
    return None


def change_strength(
  work: Work,
  asked: Request | None = None,
  strength: float = 1,
  progress: gr.Progress = _PROGRESS,
):
  """Show the last result at another strength."""
  if asked is None:
    return gr.skip(), gr.skip(), gr.skip()
  return _harmonize(work, asked, strength, progress)


def _harmonize(
  work: Work, asked: Request, strength: float, progress: gr.Progress
):
  result = work.harmonize(
    asked.photo,
    asked.foreground,
    strength,
    asked.feather,
    asked.background,
    tell=progress,
  )
  notes = "\n".join(f"- {note}" for note in result.notes)
  download = gr.DownloadButton(value=result.path, interactive=True)
  return (result.before, result.after), download, notes


def _request(
  photo: str | None, foreground: tuple, feather: float, background: bool
) -> Request:
  """Make a request of what the page holds, or raise UserError."""
  if photo is None:
    raise UserError("there is no photo yet; drop one")
  return Request(photo, _foreground(*foreground), feather, background)


def _foreground(
  tab: str,
  mask: str | None,
  inverted: bool,
  painted: dict[str, Any] | None,
  cutout: str | None,
  place: tuple[float, float, float],
) -> Foreground:
  """Return the foreground that the open tab gives."""
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
  """Fill in the files of an example, and open the tab of its foreground."""
  sample = samples[index]
  tab = CUTOUT if sample.cutout else MASK
  files = (sample.photo, sample.mask, sample.cutout)
  paths = (None if file is None else str(file) for file in files)
  return gr.Tabs(selected=tab), *paths, *sample.place, tab


def _pictured(image: Image.Image | None) -> gr.Image:
  """Make a `_picture` show an image, or hide for None."""
  return gr.Image(value=image, visible=image is not None)
