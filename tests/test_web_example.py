"""examples/web in a real browser, against the Python call's own result."""

import contextlib
import functools
import http.server
import importlib.util
import pathlib
import shutil
import threading
import urllib.parse

import jax
import numpy as np
import pytest
from PIL import Image
from skimage import data

from hdnet_jax import weights
from hdnet_jax.app.cli import main
from hdnet_jax.inference.harmonizer import Harmonizer

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "web"
INSTALLED = EXAMPLE / "node_modules"
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None, reason="needs the extra [onnx]"
  ),
  pytest.mark.skipif(
    not (INSTALLED / "onnxruntime-web").is_dir(),
    reason="needs ONNX Runtime Web: npm install --prefix examples/web",
  ),
]

PATIENCE = 60_000  # milliseconds until a condition counts as missed


@pytest.fixture(scope="module")
def gentle(tmp_path_factory, network) -> pathlib.Path:
  """The small network with half its weights.

  It changes colours as a trained one does. More, and the maps would make much
  of the last bit.
  """
  params, model, _ = weights.load(network)
  path = tmp_path_factory.mktemp("weights") / "gentle.safetensors"
  weights.save(path, jax.tree.map(lambda leaf: leaf / 2, params), model)
  return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, gentle) -> pathlib.Path:
  """A copy of the example with that network."""
  folder = tmp_path_factory.mktemp("page") / "web"
  left_out = shutil.ignore_patterns("node_modules", "*.onnx")
  shutil.copytree(EXAMPLE, folder, ignore=left_out)
  (folder / "node_modules").symlink_to(INSTALLED)
  main.main(["export", str(gentle), str(folder / "hdnet.onnx"), "--uint8"])
  return folder


@pytest.fixture(scope="module")
def in_python(gentle) -> Harmonizer:
  return Harmonizer.from_pretrained(gentle, image_size=256)


class _Quiet(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *_):
    pass


@contextlib.contextmanager
def served(folder: pathlib.Path):
  """The address of a static server of the folder, as `http.server` is one."""
  handler = functools.partial(_Quiet, directory=folder)
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f"http://127.0.0.1:{server.server_port}/"
    finally:
      server.shutdown()
      thread.join()


@pytest.fixture
def page(folder, browser):
  """A fresh page; whatever it asks for, it asks its own server."""
  requests: list[str] = []
  problems: list[str] = []
  with served(folder) as address:
    context = browser.new_context(
      viewport={"width": 900, "height": 900}, has_touch=True
    )
    context.on("request", lambda request: requests.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    yield page
    context.close()
  assert not problems
  assert address + "guided.js" in requests
  for url in requests:
    place = urllib.parse.urlsplit(url)
    assert place.scheme == "blob" or url.startswith(address), url


def save(path: pathlib.Path, pixels: np.ndarray) -> pathlib.Path:
  Image.fromarray(pixels).save(path)
  return path


def ellipse(height: int, width: int, soft: bool) -> np.ndarray:
  """A mask, uint8; a soft one rises over some pixels."""
  y, x = np.mgrid[:height, :width]
  far = np.hypot(y / height - 0.45, x / width - 0.6) / 0.3
  if not soft:
    return np.where(far < 1, 255, 0).astype(np.uint8)
  return np.clip((1 - far) * 2000, 0, 255).astype(np.uint8)


def say(page, text: str) -> None:
  """Waits until the page says the text."""
  page.locator("#status").get_by_text(text).wait_for()


def open_photo(page, path: pathlib.Path) -> None:
  say(page, "Ready")
  page.locator("#photo").set_input_files(path)
  say(page, "Paint what is to change")


def harmonize(page, folder: pathlib.Path) -> np.ndarray:
  """Presses the button; the pixels of the downloaded file."""
  page.locator("#run").click()
  say(page, "s, of which the network")
  with page.expect_download() as download:
    page.locator("#download").click()
  assert download.value.suggested_filename == "photo-harmonized.png"
  path = folder / "downloaded.png"
  download.value.save_as(path)
  with Image.open(path) as image:
    return np.asarray(image.convert("RGB"))


# Mean and largest difference to Python, in levels of 255. The network's output
# has 8 bits in the page and is a float in Python; all else is the same
# arithmetic.
@pytest.mark.parametrize(
  ("height", "width", "soft", "mean", "most"),
  [
    (256, 256, False, 0.1, 2),  # the network sees the photo itself
    (400, 600, True, 0.1, 2),
    (1000, 700, False, 0.1, 2),
    (120, 160, False, 0.1, 2),  # smaller than what the network sees
  ],
)
def test_as_in_python(
  in_python, page, tmp_path, height, width, soft, mean, most
):
  photo = Image.fromarray(data.astronaut()).resize((width, height))
  before, mask = np.asarray(photo), ellipse(height, width, soft)
  open_photo(page, save(tmp_path / "photo.png", before))
  page.locator("#mask").set_input_files(save(tmp_path / "mask.png", mask))
  say(page, "The mask is mask.png")
  after = harmonize(page, tmp_path)

  np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
  changed = abs(after.astype(int) - before)[mask == 255]
  assert changed.mean() > 5
  expected = in_python(before, mask)
  apart = abs(after.astype(int) - expected)[mask > 0]
  assert apart.mean() <= mean
  assert apart.max() <= most


def test_painted_by_hand(page, tmp_path):
  before = data.astronaut()
  open_photo(page, save(tmp_path / "photo.png", before))
  box = page.locator("#paint").bounding_box()
  x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
  page.mouse.move(x - 60, y)
  page.mouse.down()
  page.mouse.move(x + 60, y, steps=5)
  page.mouse.up()
  page.touchscreen.tap(x, y + 100)
  changed = (harmonize(page, tmp_path) != before).any(-1)
  assert changed[240:270, 200:310].mean() > 0.9  # the stroke
  assert changed[346:366, 246:266].mean() > 0.9  # the tap
  assert changed.mean() < 0.05


def test_an_object_that_the_small_image_misses(in_python, page, tmp_path):
  before = np.asarray(Image.fromarray(data.astronaut()).resize((1024, 1024)))
  mask = np.zeros((1024, 1024), np.uint8)
  mask[500:700, 481] = 255
  open_photo(page, save(tmp_path / "photo.png", before))
  page.locator("#mask").set_input_files(save(tmp_path / "mask.png", mask))
  say(page, "The mask is mask.png")
  after = harmonize(page, tmp_path)
  expected = in_python(before, mask)
  assert (expected != before).any()
  assert abs(after.astype(int) - expected).max() <= 2


def test_mistakes_are_told(page, tmp_path):
  pixels = data.astronaut()
  open_photo(page, save(tmp_path / "photo.png", pixels))
  page.locator("#run").click()
  say(page, "The mask covers nothing")
  page.locator("#mask").set_input_files(
    save(tmp_path / "small.png", pixels[:9])
  )
  say(page, "give a mask of the photo's size")
  clear = np.dstack([pixels, pixels[..., 0]])
  page.locator("#photo").set_input_files(save(tmp_path / "clear.png", clear))
  say(page, "clear.png is transparent in places")
  (tmp_path / "letter.png").write_text("no image at all")
  page.locator("#photo").set_input_files(tmp_path / "letter.png")
  say(page, "letter.png is no picture")


@pytest.fixture
def no_network(folder):
  """The network's place, where it is not; it comes back later."""
  path = folder / "hdnet.onnx"
  kept = path.read_bytes()
  path.unlink()
  yield path
  path.write_bytes(kept)


def test_a_wrong_network_is_told(no_network, gentle, page):
  say(page, "hdnet export WEIGHTS")
  no_network.write_text("no network at all")
  page.reload()
  say(page, "hdnet.onnx cannot be read")
  no_network.unlink()
  main.main(["export", str(gentle), str(no_network)])
  page.reload()
  say(page, "export it with --uint8")


def test_by_keyboard(page, tmp_path):
  """Every control has a name, and what is pressed does not lose the focus."""
  pixels = data.astronaut()
  open_photo(page, save(tmp_path / "photo.png", pixels))
  mask = ellipse(*pixels.shape[:2], False)
  page.get_by_label("Mask, white").set_input_files(
    save(tmp_path / "mask.png", mask)
  )
  say(page, "The mask is mask.png")
  page.get_by_role("button", name="Harmonize").press("Enter")
  slider = page.get_by_role("slider", name="Before After")
  say(page, "s, of which the network")
  slider.press("Home")
  assert page.evaluate("document.activeElement.id") == "compare"
  assert slider.input_value() == "0"
  page.get_by_role("button", name="Back to the mask").press("Enter")
  assert page.evaluate("document.activeElement.id") == "brush"
