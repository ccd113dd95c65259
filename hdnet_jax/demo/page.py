"""The page: what is where, and which work a click starts.

Gradio gives it uploads, a queue, a brush and a before/after slider, which would
be thousands of lines of ours.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from hdnet_jax.demo.answers import answered
from hdnet_jax.demo.examples import Sample
from hdnet_jax.demo.work import Cutout, MaskFile, Object, Painted, Work
from hdnet_jax.errors import UserError

MASK, PAINT, CUTOUT = "mask", "paint", "cutout"  # ids of the tabs

_TITLE = """# Make a pasted object fit
Drop a photo, say what of it does not fit, and press **Harmonize**.
JPEG, PNG, WebP or TIFF; nothing leaves this machine."""
_PHOTOS = [".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"]
_BRUSH = "#ff3b30"
_DROP = 150  # CSS pixels, of the boxes that files are dropped on
_PAINTED = 128  # alpha from which a pixel counts as painted
# Seconds: every so often files that are older are deleted.
_SWEEP, _KEEP = 60, 1800
_CSS = """
.gradio-container {width: 100%; max-width: 1280px !important; margin: auto}
"""


def build(
  work: Work, samples: Sequence[Sample], concurrency: int, queue: int
) -> gr.Blocks:
  """The page, not served yet.

  Args:
    work: what it does.
    samples: examples to choose from.
    concurrency: how many pieces of work are done at once; the rest waits.
    queue: how many may wait; more are refused.
  """
  with gr.Blocks(
    title="hdnet demo", analytics_enabled=False, delete_cache=(_SWEEP, _KEEP)
  ) as page:
    gr.Markdown(_TITLE)
    with gr.Row():
      with gr.Column():
        photo = _file("Photo", "photo")
        tabs, tab, things, shown = _objects()
        strength, feather, background = _changes()
        run = gr.Button("Harmonize", variant="primary", elem_id="run")
      with gr.Column():
        results = _results()
        chosen = gr.Dataset(
          label="Examples, from the photos of scikit-image",
          components=[gr.Image(visible=False)],
          samples=[[str(sample.thumbnail)] for sample in samples],
          sample_labels=None,
          type="index",
          elem_id="examples",
        )
    # All that opens files shares the one limit.
    heavy = {
      "concurrency_id": "work",
      "concurrency_limit": concurrency,
      "api_visibility": "private",
    }
    mask_shown, editor, cutout_shown = shown
    editor.blob_storage = _Latest(2 * (queue + concurrency))
    mask_inputs = [photo, things["mask"], things["inverted"]]
    cutout_inputs = [photo, *(things[name] for name in _CUTOUT)]
    show_mask = functools.partial(_show_mask, work)
    show_cutout = functools.partial(_show_cutout, work)
    photo.change(
      _forget,
      None,
      [*shown, *results],
      queue=False,
      show_progress="hidden",
      api_visibility="private",
    ).then(
      _answered(functools.partial(_show, work)), photo, editor, **heavy
    ).success(_answered(show_mask), mask_inputs, mask_shown, **heavy).then(
      _answered(show_cutout), cutout_inputs, cutout_shown, **heavy
    )
    gr.on(
      [things["mask"].change, things["inverted"].change],
      _answered(show_mask),
      mask_inputs,
      mask_shown,
      **heavy,
    )
    gr.on(
      [things[name].change for name in _CUTOUT],
      _answered(show_cutout),
      cutout_inputs,
      cutout_shown,
      trigger_mode="always_last",
      show_progress="hidden",
      **heavy,
    )
    run.click(
      _answered(functools.partial(_harmonize, work)),
      [
        photo,
        tab,
        *mask_inputs[1:],
        editor,
        *cutout_inputs[1:],
        strength,
        feather,
        background,
      ],
      results,
      **heavy | {"api_visibility": "public"},
      api_name="harmonize",
    )
    chosen.click(
      functools.partial(_choose, samples),
      chosen,
      [photo, things["mask"], *cutout_inputs[1:], tabs, tab],
      queue=False,
      show_progress="hidden",
      api_visibility="private",
    )
  return page.queue(max_size=queue, api_open=False)


def launch(
  page: gr.Blocks, host: str, port: int, megabytes: int, open_browser: bool
) -> str:
  """Serves the page in the background; returns its address."""
  _, url, _ = page.launch(
    server_name=host,
    server_port=port,
    inbrowser=open_browser,
    max_file_size=f"{megabytes}mb",
    # Fonts of the reader's system: others would come from the internet.
    theme=gr.themes.Default(
      font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    ),
    css=_CSS,
    footer_links=[],
    share=False,
    show_error=False,
    run_history=False,
    enable_monitoring=False,
    ssr_mode=False,
    pwa=False,
    mcp_server=False,
    quiet=True,
    prevent_thread_lock=True,
  )
  return url


_CUTOUT = ("cutout", "across", "down", "size")


def _objects():
  """The tabs in which the object is told; which one is open; what shows it."""
  things: dict[str, Any] = {}
  # Set in the browser, so that no click comes before it.
  tab = gr.Textbox(MASK, visible="hidden", label="Tab")
  with gr.Tabs() as tabs:
    with gr.Tab("Mask file", id=MASK, render_children=True) as mask_tab:
      things["mask"] = _file("Mask: the object is white", "mask")
      things["inverted"] = gr.Checkbox(label="Black is the object")
      mask_shown = _picture("What changes", "mask-shown")
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
      things["cutout"] = _file("Cut-out with transparency", "cutout")
      with gr.Row():
        for name, label, least, most in (
          ("across", "Across %", 0, 100),
          ("down", "Down %", 0, 100),
          ("size", "Size %", 5, 150),
        ):
          things[name] = gr.Slider(
            least, most, 50, step=1, label=label, min_width=120, elem_id=name
          )
      cutout_shown = _picture("Where it goes", "cutout-shown")
  for name, one in (
    (MASK, mask_tab),
    (PAINT, paint_tab),
    (CUTOUT, cutout_tab),
  ):
    one.select(None, None, tab, js=f"() => '{name}'")
  return tabs, tab, things, [mask_shown, editor, cutout_shown]


class _Latest(dict):
  """Paintings on their way to the queue, the latest ones.

  The editor's own dict would keep those of clicks that are then refused.
  """

  def __init__(self, most: int):
    super().__init__()
    self._most = most

  def __setitem__(self, name, painting):
    super().__setitem__(name, painting)
    while len(self) > self._most:
      del self[next(iter(self))]


def _file(label: str, name: str) -> gr.File:
  return gr.File(label=label, file_types=_PHOTOS, height=_DROP, elem_id=name)


def _picture(label: str, name: str) -> gr.Image:
  """Hidden as long as it is empty: on a phone it would fill the screen."""
  return gr.Image(
    label=label,
    interactive=False,
    height=320,
    buttons=[],
    visible=False,
    elem_id=name,
  )


def _pictured(image: Image.Image | None) -> gr.Image:
  return gr.Image(value=image, visible=image is not None)


def _changes():
  with gr.Row():
    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", min_width=140)
    feather = gr.Slider(0, 50, 0, step=1, label="Feather (px)", min_width=140)
  background = gr.Checkbox(label="Change the background to fit the object")
  return strength, feather, background


def _results():
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


def _answered(function: Callable) -> Callable:
  return answered(function, functools.partial(gr.Error, print_exception=False))


def _forget():
  """Nothing shown, and no result, while another photo is opened."""
  no_file = gr.DownloadButton(value=None, interactive=False)
  return _pictured(None), None, _pictured(None), None, no_file, ""


def _show(work: Work, photo: str | None):
  if photo is None:
    return None
  image = work.show(photo)
  return {"background": image, "layers": [], "composite": None}


def _show_mask(
  work: Work, photo: str | None, mask: str | None, inverted: bool
) -> gr.Image:
  if photo is None or mask is None:
    return _pictured(None)
  return _pictured(work.show_mask(photo, MaskFile(mask, inverted)))


def _show_cutout(
  work: Work,
  photo: str | None,
  cutout: str | None,
  across: float,
  down: float,
  size: float,
) -> gr.Image:
  if photo is None or cutout is None:
    return _pictured(None)
  return _pictured(work.show_cutout(photo, Cutout(cutout, across, down, size)))


def _harmonize(
  work: Work,
  photo: str | None,
  tab: str,
  mask: str | None,
  inverted: bool,
  painted: dict[str, Any] | None,
  *rest,
):
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


def _choose(samples: Sequence[Sample], index: int):
  sample = samples[index]
  tab = CUTOUT if sample.cutout else MASK
  files = (sample.photo, sample.mask, sample.cutout)
  return (
    *(None if file is None else str(file) for file in files),
    *sample.place,
    gr.Tabs(selected=tab),
    tab,
  )
