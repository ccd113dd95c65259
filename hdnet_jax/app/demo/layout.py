"""What is where on the page: the boxes in which the user tells and sees."""

from typing import Any

import gradio as gr
from PIL import Image

from hdnet_jax.images.formats import extensions

MASK, PAINT, CUTOUT = "mask", "paint", "cutout"  # ids of the tabs

_BRUSH = "#ff3b30"
_DROP = 150  # CSS pixels, of the boxes that files are dropped on


def objects():
  """The tabs in which the object is told; which one is open; what shows it."""
  things: dict[str, Any] = {}
  # Set in the browser, so that no click comes before it.
  tab = gr.Textbox(MASK, visible="hidden", label="Tab")
  with gr.Tabs() as tabs:
    with gr.Tab("Mask file", id=MASK, render_children=True) as mask_tab:
      things["mask"] = file("Mask: the object is white", "mask")
      things["inverted"] = gr.Checkbox(label="Black is the object")
      mask_shown = picture("What changes", "mask-shown")
    with gr.Tab("Paint it", id=PAINT, render_children=True) as paint_tab:
      editor = gr.ImageEditor(
        label="Paint over the object",
        sources=(),
        transforms=(),
        layers=False,
        brush=gr.Brush(32, colors=[_BRUSH], color_mode="fixed"),
        buttons=[],
        height=420,
      )
    with gr.Tab("Cut-out", id=CUTOUT, render_children=True) as cutout_tab:
      things["cutout"] = file("Cut-out with transparency", "cutout")
      with gr.Row():
        for name, label, least, most in (
          ("across", "Across %", 0, 100),
          ("down", "Down %", 0, 100),
          ("size", "Size %", 5, 150),
        ):
          things[name] = gr.Slider(
            least, most, 50, step=1, label=label, min_width=120, elem_id=name
          )
      cutout_shown = picture("Where it goes", "cutout-shown")
  for name, one in (
    (MASK, mask_tab),
    (PAINT, paint_tab),
    (CUTOUT, cutout_tab),
  ):
    one.select(None, None, tab, js=f"() => '{name}'")
  return tabs, tab, things, [mask_shown, editor, cutout_shown]


def file(label: str, name: str) -> gr.File:
  """A box that a photo is dropped on."""
  return gr.File(
    label=label, file_types=list(extensions()), height=_DROP, elem_id=name
  )


def picture(label: str, name: str) -> gr.Image:
  """Hidden as long as it is empty: on a phone it would fill the screen."""
  return gr.Image(
    label=label,
    interactive=False,
    height=320,
    buttons=[],
    visible=False,
    elem_id=name,
  )


def pictured(image: Image.Image | None) -> gr.Image:
  """What makes a `picture` show an image, or hide for None."""
  return gr.Image(value=image, visible=image is not None)


def changes():
  """How much changes: strength, feather, and whether the background does."""
  with gr.Row():
    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", min_width=140)
    feather = gr.Slider(0, 50, 0, step=1, label="Feather (px)", min_width=140)
  background = gr.Checkbox(label="Change the background to fit the object")
  return strength, feather, background


def results():
  """What came of it: before and after, the file, and notes."""
  slider = gr.ImageSlider(
    label="Before and after",
    interactive=False,
    max_height=460,
    buttons=["fullscreen"],
    elem_id="result",
  )
  download = gr.DownloadButton(
    "Download at full size", interactive=False, elem_id="download"
  )
  notes = gr.Markdown(elem_id="notes")
  return [slider, download, notes]
