"""The page: its boxes, and which work a click starts.

Gradio gives it uploads, a queue, a brush and a before/after slider, which would
be thousands of lines of ours.
"""

import functools
import logging
from collections.abc import Callable, Sequence

import gradio as gr
from starlette.requests import ClientDisconnect

from hdnet_jax.app.demo import clicks, layout
from hdnet_jax.app.demo.answers import answered
from hdnet_jax.app.demo.examples import Sample
from hdnet_jax.app.demo.work import Work
from hdnet_jax.images.formats import NAMES

_TITLE = f"""# Make a pasted object fit
Drop a photo, say what of it does not fit, and press **Harmonize**.
{NAMES}; nothing leaves this machine."""
# What the tab of the cut-out holds.
_CUTOUT = ("cutout", "across", "down", "size")
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
        photo = layout.file("Photo", "photo")
        tabs, tab, things, shown = layout.objects()
        strength, feather, background = layout.changes()
        run = gr.Button("Harmonize", variant="primary", elem_id="run")
      with gr.Column():
        results = layout.results()
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
    show_mask = functools.partial(clicks.show_mask, work)
    show_cutout = functools.partial(clicks.show_cutout, work)
    photo.change(
      clicks.forget,
      None,
      [*shown, *results],
      queue=False,
      show_progress="hidden",
      api_visibility="private",
    ).then(
      _answered(functools.partial(clicks.show, work)), photo, editor, **heavy
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
      _answered(functools.partial(clicks.harmonize, work)),
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
      functools.partial(clicks.choose, samples),
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
  logging.getLogger("uvicorn.error").addFilter(_is_failure)
  return url


def _is_failure(record: logging.LogRecord) -> bool:
  """Not a visitor who leaves during an upload, of which uvicorn would tell."""
  return not (
    record.exc_info and isinstance(record.exc_info[1], ClientDisconnect)
  )


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


def _answered(function: Callable) -> Callable:
  return answered(function, functools.partial(gr.Error, print_exception=False))
