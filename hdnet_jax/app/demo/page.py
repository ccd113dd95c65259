"""The page: its boxes, and the work that a click starts.

Gradio gives it uploads, a queue, a brush and a before/after slider.
"""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from starlette.requests import ClientDisconnect

from hdnet_jax.app.demo import clicks
from hdnet_jax.app.demo.clicks import CUTOUT, MASK, PAINT
from hdnet_jax.app.demo.examples import Sample
from hdnet_jax.app.demo.work import Work, explain_errors
from hdnet_jax.images.formats import NAMES, extensions
from hdnet_jax.inference.strength import MAX_STRENGTH

_TITLE = f"""# Make a pasted object fit
Drop a photo, say what of it does not fit, and press **Harmonize**.
{NAMES}; nothing leaves this machine."""
_CSS = """
.gradio-container {width: 100%; max-width: 1280px !important; margin: auto}
#mask-shown img, #cutout-shown img {max-height: 320px}
#photo-shown img {max-height: 180px}
"""
# Seconds: how often files are checked, and at what age they are deleted.
_SWEEP, _KEEP = 60, 1800
_SESSIONS = 200  # visitors whose last request is kept, of 1 MB at most
_BRUSH = gr.Brush(32, colors=["#ff3b30"], color_mode="fixed")
# Settings of an event that needs no `Work`.
_LIGHT: dict[str, Any] = {
  "queue": False,
  "show_progress": "hidden",
  "api_visibility": "private",
}


def build(
  work: Work, samples: Sequence[Sample], concurrency: int, queue: int
) -> gr.Blocks:
  """Build the page, not served yet.

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
        boxes: dict[str, Any] = {"photo": _file("Photo", "photo")}
        boxes["photo_shown"] = _picture("The photo", "photo-shown")
        tabs = _add_tabs(boxes)
        _add_changes(boxes)
        run = gr.Button("Harmonize", variant="primary", elem_id="run")
      with gr.Column():
        results = _add_results(boxes)
        examples = gr.Dataset(
          label="Pasted objects to try, of the photos of scikit-image",
          components=[gr.Image(visible=False)],
          samples=[[str(sample.thumbnail)] for sample in samples],
          sample_labels=None,
          type="index",
          elem_id="examples",
        )
    boxes["painted"].blob_storage = _Latest(2 * (queue + concurrency))
    # The visitor's last request, for which the strength can be changed.
    boxes["asked"] = gr.State(time_to_live=_KEEP)
    event = _event_maker(boxes, work, concurrency)
    _connect_previews(boxes, results, event)
    _connect_results(boxes, run, results, event)
    chosen = ("photo", "mask", "cutout", "across", "down", "size", "tab")
    examples.click(
      functools.partial(clicks.load_example, samples),
      examples,
      [tabs, *(boxes[name] for name in chosen)],
      **_LIGHT,
    )
  return page.queue(max_size=queue, api_open=False)


def launch(
  page: gr.Blocks, host: str, port: int, megabytes: int, open_browser: bool
) -> str:
  """Serve the page in the background; return its address."""
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
    state_session_capacity=_SESSIONS,
    ssr_mode=False,
    pwa=False,
    mcp_server=False,
    quiet=True,
    prevent_thread_lock=True,
  )
  logging.getLogger("uvicorn.error").addFilter(_is_failure)
  return url


def _is_failure(record: logging.LogRecord) -> bool:
  """Return False for the record of a visitor who leaves during an upload."""
  return not (
    record.exc_info and isinstance(record.exc_info[1], ClientDisconnect)
  )


def _add_tabs(boxes: dict[str, Any]) -> gr.Tabs:
  """Add the tabs in which the user tells the foreground."""
  # Set in the browser, so that no click comes before it.
  boxes["tab"] = gr.Textbox(MASK, visible="hidden", label="Tab")
  with gr.Tabs() as tabs:
    with gr.Tab("Mask file", id=MASK, render_children=True) as mask:
      boxes["mask"] = _file("Mask: the object is white", "mask")
      boxes["inverted"] = gr.Checkbox(label="Black is the object")
      boxes["mask_shown"] = _picture("What changes", "mask-shown")
    with gr.Tab("Paint it", id=PAINT, render_children=True) as paint:
      boxes["painted"] = gr.ImageEditor(
        label="Paint over the object",
        sources=(),
        transforms=(),
        layers=False,
        brush=_BRUSH,
        buttons=[],
        height=420,
      )
    with gr.Tab("Cut-out", id=CUTOUT, render_children=True) as cutout:
      boxes["cutout"] = _file("Cut-out with transparency", "cutout")
      with gr.Row():
        for name, least, most in (
          ("across", 0, 100),
          ("down", 0, 100),
          ("size", 5, 150),
        ):
          label = f"{name.capitalize()} %"
          boxes[name] = gr.Slider(
            least, most, 50, step=1, label=label, min_width=120, elem_id=name
          )
      boxes["cutout_shown"] = _picture("Where it goes", "cutout-shown")
  for name, tab in ((MASK, mask), (PAINT, paint), (CUTOUT, cutout)):
    tab.select(None, None, boxes["tab"], js=f"() => '{name}'")
  return tabs


def _add_changes(boxes: dict[str, Any]) -> None:
  """Add the feather, and whether the background changes instead."""
  boxes["feather"] = gr.Slider(0, 50, 0, step=1, label="Feather (px)")
  background = "Change the background to fit the object"
  boxes["background"] = gr.Checkbox(label=background)


def _add_results(boxes: dict[str, Any]) -> list[gr.components.Component]:
  """Add the results: before and after, the file to download, and notes.

  The strength is among them, because it can be changed afterwards, too.
  """
  slider = gr.ImageSlider(
    label="Before and after",
    interactive=False,
    max_height=460,
    buttons=["fullscreen"],
    elem_id="result",
  )
  boxes["strength"] = gr.Slider(
    0, MAX_STRENGTH, 1, step=0.05, label="Strength", elem_id="strength"
  )
  download = gr.DownloadButton(
    "Download at full size", interactive=False, elem_id="download"
  )
  return [slider, download, gr.Markdown(elem_id="notes")]


def _file(label: str, name: str) -> gr.File:
  """A box that a photo is dropped on."""
  types = list(extensions())
  return gr.File(label=label, file_types=types, height=150, elem_id=name)


def _picture(label: str, name: str) -> gr.Image:
  """A picture, hidden while it is empty: it would fill a phone's screen."""
  return gr.Image(
    label=label,
    interactive=False,
    buttons=[],
    visible=False,
    elem_id=name,
  )


_Event = Callable[[Callable, str, Any], dict[str, Any]]
# The boxes whose changes redraw the mask, and the cut-out.
_MASK, _CUTOUT = "mask inverted", "cutout across down size"


def _event_maker(boxes: dict[str, Any], work: Work, concurrency: int) -> _Event:
  """Return a function that makes the arguments of a Gradio event."""

  def event(function: Callable, inputs: str, outputs: Any) -> dict[str, Any]:
    # All that opens files shares the one limit.
    make_error = functools.partial(gr.Error, print_exception=False)
    function = functools.partial(function, work)
    return {
      "fn": explain_errors(function, make_error),
      "inputs": [boxes[name] for name in inputs.split()],
      "outputs": outputs,
      "concurrency_id": "work",
      "concurrency_limit": concurrency,
      "api_visibility": "private",
    }

  return event


def _connect_previews(
  boxes: dict[str, Any],
  results: list[gr.components.Component],
  event: _Event,
) -> None:
  """Show photo, mask and cut-out as they are chosen; forget older results."""
  shown = [
    boxes[name]
    for name in ("photo_shown", "mask_shown", "painted", "cutout_shown")
  ]
  show = event(clicks.show, "photo", [shown[0], boxes["painted"]])
  show_mask = event(clicks.show_mask, f"photo {_MASK}", boxes["mask_shown"])
  show_cutout = event(
    clicks.show_cutout, f"photo {_CUTOUT}", boxes["cutout_shown"]
  )
  boxes["photo"].change(
    clicks.forget, None, [*shown, boxes["asked"], *results], **_LIGHT
  ).then(**show).success(**show_mask).then(**show_cutout)
  gr.on([boxes[name].change for name in _MASK.split()], **show_mask)
  gr.on(
    [boxes[name].change for name in _CUTOUT.split()],
    **show_cutout,
    trigger_mode="always_last",
    show_progress="hidden",
  )


def _connect_results(
  boxes: dict[str, Any],
  run: gr.Button,
  results: list[gr.components.Component],
  event: _Event,
) -> None:
  """Connect the button, and the strength afterwards, to the results."""
  foreground = f"photo tab {_MASK} painted {_CUTOUT}"
  everything = f"{foreground} strength feather background"
  harmonize: dict[str, Any] = {
    **event(clicks.harmonize, everything, results),
    "api_visibility": "public",
    "api_name": "harmonize",
    "api_description": "Harmonize a photo; docs/http.md says how.",
  }
  asked = [boxes[n] for n in f"{foreground} feather background".split()]
  run.click(clicks.remember, asked, boxes["asked"], **_LIGHT).then(**harmonize)
  boxes["strength"].change(
    **event(clicks.change_strength, "asked strength", results),
    trigger_mode="always_last",
    show_progress="minimal",
  )


class _Latest(dict):
  """The latest paintings on their way to the queue.

  The editor's own dict would keep those of clicks that are then refused.
  """

  def __init__(self, most: int):
    super().__init__()
    self._most = most

  def __setitem__(self, name: str, painting: Any) -> None:
    super().__setitem__(name, painting)
    while len(self) > self._most:
      del self[next(iter(self))]
