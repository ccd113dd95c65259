"""Harmonize photos on a web page of your own machine.

Serves a web page: drop a photo, say what of it does not fit (a mask, a brush,
or a cut-out to place), see before and after, and download the result at full
size. It needs no internet, and only this machine can open it. Files are deleted
after half an hour, and when it stops.

examples:
  hdnet demo --weights runs/quickstart
  hdnet demo --weights mine.safetensors --port 8000 --open-browser
"""

import argparse
import errno
import os
import pathlib
import signal
import socket
import tempfile
import threading

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError, require


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "demo", __doc__, _demo, failure=2)
  arguments.add_weights(parser)
  arguments.add(
    parser,
    "--host ADDRESS",
    "of the page; 0.0.0.0 lets other machines open it, without a password",
    "127.0.0.1",
  )
  for names, help, default in (
    ("--port N", "of the page", 7860),
    ("--max-megapixels N", "of a photo, mask or cut-out", 50),
    ("--max-megabytes N", "of a file", 30),
    ("--concurrency N", "how many photos are worked on at once", 1),
    ("--queue N", "how many may wait; more are refused", 20),
    ("--open-browser", "open the page right away", False),
  ):
    arguments.add(parser, names, help, default)


def _demo(options: argparse.Namespace) -> None:
  for name in ("max-megapixels", "max-megabytes", "concurrency", "queue"):
    value = getattr(options, name.replace("-", "_"))
    if value < 1:
      raise UserError(f"--{name} is 1 or more, not {value}")
  require("gradio", "hdnet demo")
  _check_address(options.host, options.port)
  # End as at Ctrl-C, so that temporary files are removed.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    with tempfile.TemporaryDirectory(
      prefix="hdnet-demo-", ignore_cleanup_errors=True
    ) as folder:
      _serve(options, pathlib.Path(folder))
  except KeyboardInterrupt:
    print("stopped")


def _check_address(host: str, port: int) -> None:
  """Raise UserError if the page cannot be served at this address."""
  if not 1 <= port <= 65535:
    raise UserError(f"--port is 1 to 65535, not {port}")
  try:
    family, kind, _, _, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM
    )[0]
    with socket.socket(family, kind) as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(address)
  except (OSError, OverflowError) as error:
    if getattr(error, "errno", None) == errno.EADDRINUSE:
      raise UserError(
        f"port {port} is in use already; choose another with --port"
      ) from None
    words = getattr(error, "strerror", None) or error
    raise UserError(
      f"the page cannot be served at --host {host} --port {port} ({words})"
    ) from None


def _serve(options: argparse.Namespace, folder: pathlib.Path) -> None:
  from hdnet_jax.app.demo import examples
  from hdnet_jax.app.demo.work import Work

  network = arguments.load_network(options)
  cache, samples = folder / "cache", folder / "examples"
  cache.mkdir()
  samples.mkdir()
  work = Work(network, cache / "results", options.max_megapixels * 10**6)
  print("compiling the network", flush=True)
  work.warm_up()
  _set_up_gradio(cache, options.host)
  from hdnet_jax.app.demo import page as pages

  page = pages.build(
    work, examples.make(samples), options.concurrency, options.queue
  )
  try:
    url = pages.launch(
      page,
      options.host,
      options.port,
      options.max_megabytes,
      options.open_browser,
    )
    print(f"the page is at {url}  (Ctrl-C stops it)", flush=True)
    threading.Event().wait()
  finally:
    page.close(verbose=False)


def _set_up_gradio(cache: pathlib.Path, host: str) -> None:
  """Set what Gradio reads at import: no telemetry, all files in `cache`."""
  os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
  os.environ["GRADIO_TEMP_DIR"] = str(cache)
  # It keeps statistics of the events that it served, which nobody reads here.
  os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
  # Gradio requests the page to see that it is up: not through a proxy.
  hosts = (os.environ.get("no_proxy", ""), "localhost", "127.0.0.1", host)
  os.environ["no_proxy"] = ",".join(filter(None, hosts))
