"""What clicks do: from what the page holds to `Work`, and back to the page."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from hdnet_jax.app.demo.examples import Sample
from hdnet_jax.app.demo.layout import CUTOUT, MASK, PAINT, pictured
from hdnet_jax.app.demo.work import Cutout, MaskFile, Object, Painted, Work
from hdnet_jax.errors import UserError

_PAINTED = 128  # alpha from which a pixel counts as painted


def forget():
  """Nothing shown, and no result, while another photo is opened."""
  no_file = gr.DownloadButton(value=None, interactive=False)
  return pictured(None), None, pictured(None), None, no_file, ""


def show(work: Work, photo: str | None):
  """The photo, to be painted on."""
  if photo is None:
    return None
  image = work.show(photo)
  return {"background": image, "layers": [], "composite": None}


def show_mask(
  work: Work, photo: str | None, mask: str | None, inverted: bool
) -> gr.Image:
  """What of the photo the mask lets change."""
  if photo is None or mask is None:
    return pictured(None)
  return pictured(work.show_mask(photo, MaskFile(mask, inverted)))


def show_cutout(
  work: Work,
  photo: str | None,
  cutout: str | None,
  across: float,
  down: float,
  size: float,
) -> gr.Image:
  """The cut-out where it goes."""
  if photo is None or cutout is None:
    return pictured(None)
  return pictured(work.show_cutout(photo, Cutout(cutout, across, down, size)))


def harmonize(
  work: Work,
  photo: str | None,
  tab: str,
  mask: str | None,
  inverted: bool,
  painted: dict[str, Any] | None,
  *rest,
):
  """Before and after, the file to download, and notes."""
  *place, strength, feather, background = rest
  if photo is None:
    raise UserError("there is no photo yet; drop one")
  thing = _thing(tab, mask, inverted, painted, place)
  result = work.harmonize(photo, thing, strength, feather, background)
  notes = "\n".join(f"- {note}" for note in result.notes)
  download = gr.DownloadButton(value=result.path, interactive=True)
  return (result.before, result.after), download, notes


def _thing(
  tab: str,
  mask: str | None,
  inverted: bool,
  painted: dict[str, Any] | None,
  place: Sequence[Any],
) -> Object:
  """What the open tab says of the object."""
  if tab == PAINT:
    layers = (painted or {}).get("layers") or [np.zeros((1, 1, 4), np.uint8)]
    over = np.max([layer[..., 3] for layer in layers], axis=0)
    return Painted(np.where(over >= _PAINTED, 255, 0).astype(np.uint8))
  if tab == CUTOUT:
    if place[0] is None:
      raise UserError("there is no cut-out yet; drop one")
    return Cutout(*place)
  if mask is None:
    raise UserError("there is no mask yet; drop one, or paint it")
  return MaskFile(mask, inverted)


def choose(samples: Sequence[Sample], index: int):
  """The files of an example, and the tab that tells its object."""
  sample = samples[index]
  tab = CUTOUT if sample.cutout else MASK
  files = (sample.photo, sample.mask, sample.cutout)
  return (
    *(None if file is None else str(file) for file in files),
    *sample.place,
    gr.Tabs(selected=tab),
    tab,
  )
