"""The page examples/web with a small network, in a real browser."""

import contextlib
import functools
import http.server
import importlib.util
import pathlib
import shutil
import threading
import urllib.parse
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax import weights
from hdnet_jax.app.cli import main
from hdnet_jax.inference.harmonizer import Harmonizer

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "web"
INSTALLED = EXAMPLE / "node_modules"
PATIENCE = 60_000  # milliseconds until a condition counts as missed


def pytest_collection_modifyitems(items) -> None:
  """Mark what is in this folder: it takes a browser, and is slow."""
  here = pathlib.Path(__file__).parent
  for item in items:
    if item.path.is_relative_to(here):
      item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def gentle(tmp_path_factory, network) -> pathlib.Path:
  """The small network with half its weights.

  It changes colours as a trained one does. More, and the maps would make much
  of the last bit.
  """
  params, model, _ = weights.load(network)
  path = tmp_path_factory.mktemp("weights") / "gentle.safetensors"
  weights.save(path, jax.tree.map(lambda leaf: leaf / 2, params), model)
  return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory, gentle) -> pathlib.Path:
  """That network as the page takes it."""
  path = tmp_path_factory.mktemp("exported") / "hdnet.onnx"
  main.main(["export", str(gentle), str(path), "--uint8"])
  return path


@pytest.fixture(scope="session")
def in_python(gentle) -> Harmonizer:
  return Harmonizer.from_pretrained(gentle, image_size=256)


@pytest.fixture
def folder(tmp_path, exported) -> pathlib.Path:
  """A copy of the example with that network."""
  if not (INSTALLED / "onnxruntime-web").is_dir():
    pytest.skip("needs ONNX Runtime Web: npm install --prefix examples/web")
  if importlib.util.find_spec("onnxruntime") is None:
    pytest.skip("needs ONNX Runtime")
  folder = tmp_path / "web"
  left_out = shutil.ignore_patterns("node_modules", "*.onnx")
  shutil.copytree(EXAMPLE, folder, ignore=left_out)
  (folder / "node_modules").symlink_to(INSTALLED)
  shutil.copy(exported, folder / "hdnet.onnx")
  return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *_):
    pass


class Server:
  """A static server of a folder, as `http.server` is, until it stops."""

  def __init__(self, folder: pathlib.Path):
    handler = functools.partial(_Quiet, directory=folder)
    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    self.address = f"http://127.0.0.1:{self._server.server_port}/"
    self._thread = threading.Thread(target=self._server.serve_forever)
    self._thread.start()

  def stop(self) -> None:
    if self._thread.is_alive():
      self._server.shutdown()
      self._server.server_close()
      self._thread.join()


@pytest.fixture
def server(folder) -> Iterator[Server]:
  server = Server(folder)
  yield server
  server.stop()


class Example:
  """The page as a visitor has it."""

  def __init__(self, page, folder: pathlib.Path):
    self.page, self._folder = page, folder

  def says(self, text: str) -> None:
    """Waits until the page says the text."""
    self.page.locator("#status").get_by_text(text).wait_for()

  def give(self, place: str, path: pathlib.Path) -> None:
    self.page.locator(f"#{place}").set_input_files(path)

  def save(self, name: str, pixels: np.ndarray) -> pathlib.Path:
    path = self._folder / name
    Image.fromarray(pixels).save(path)
    return path

  def open_photo(self, pixels: np.ndarray) -> None:
    self.says("Ready")
    self.give("photo", self.save("photo.png", pixels))
    self.says("Paint what is to change")

  def open_mask(self, mask: np.ndarray) -> None:
    self.give("mask", self.save("mask.png", mask))
    self.says("The mask is mask.png")

  def harmonize(self) -> np.ndarray:
    """Presses the button; the pixels of the downloaded file."""
    self.page.locator("#run").click()
    self.says("s, of which the network")
    return self.download()

  def download(self) -> np.ndarray:
    with self.page.expect_download() as download:
      self.page.locator("#download").click()
    assert download.value.suggested_filename == "photo-harmonized.png"
    path = self._folder / "downloaded.png"
    download.value.save_as(path)
    with Image.open(path) as image:
      return np.asarray(image.convert("RGB"))


@contextlib.contextmanager
def visited(browser, server: Server, folder: pathlib.Path, query: str = ""):
  """A fresh visitor; whatever the page asks for, it asks its own server."""
  requests: list[str] = []
  problems: list[str] = []
  size = {"width": 900, "height": 900}
  context = browser.new_context(viewport=size, has_touch=True)
  context.on("request", lambda request: requests.append(request.url))
  page = context.new_page()
  page.on("pageerror", lambda error: problems.append(str(error)))
  page.set_default_timeout(PATIENCE)
  page.goto(server.address + query)
  try:
    yield Example(page, folder)
  finally:
    context.close()
  assert not problems
  assert server.address + "guided.js" in requests
  for url in requests:
    place = urllib.parse.urlsplit(url)
    assert place.scheme == "blob" or url.startswith(server.address), url


@pytest.fixture
def visit(browser, server, tmp_path):
  """Makes a visitor, of the page with a query."""
  return functools.partial(visited, browser, server, tmp_path)


@pytest.fixture
def example(visit) -> Iterator[Example]:
  with visit() as example:
    yield example
