"""The page in a real browser: uploads, brush, cut-out, download, mistakes."""

import pathlib
import re
import socket
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 120, 160
PATIENCE = 120_000  # milliseconds until a condition counts as missed


@pytest.fixture
def page(server, browser):
  """A fresh page; whatever it asks for, it asks this machine."""
  requests: list[str] = []
  page = browser.new_page(viewport={"width": 1280, "height": 1000})
  page.set_default_timeout(PATIENCE)
  page.on("request", lambda request: requests.append(request.url))
  page.goto(server.wait())
  page.locator("#photo input[type=file]").wait_for(state="attached")
  yield page
  page.close()
  places = {urllib.parse.urlsplit(url) for url in requests}
  assert any(place.path.endswith(".js") for place in places)
  for place in places:
    local = place.scheme in ("data", "blob") or place.hostname == "127.0.0.1"
    assert local, place.geturl()


@pytest.fixture
def photo(tmp_path, rng) -> pathlib.Path:
  coarse = rng.integers(40, 220, (HEIGHT // 8, WIDTH // 8, 3))
  pixels = coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)
  path = tmp_path / "photo.png"
  Image.fromarray(pixels).save(path)
  return path


@pytest.fixture
def mask(tmp_path) -> pathlib.Path:
  inside = np.zeros((HEIGHT, WIDTH), np.uint8)
  inside[30:90, 40:120] = 255
  path = tmp_path / "mask.png"
  Image.fromarray(inside).save(path)
  return path


def upload(page, place: str, path: pathlib.Path) -> None:
  page.locator(f"#{place} input[type=file]").set_input_files(path)
  page.locator(f"#{place}").get_by_text(path.stem).first.wait_for()


def open_tab(page, name: str) -> None:
  page.get_by_role("tab", name=name).click()


def harmonize(page, folder: pathlib.Path) -> tuple[str, np.ndarray]:
  """Presses the button; the downloaded file's name and its pixels."""
  page.locator("#run").click()
  page.locator("#result img").nth(1).wait_for()
  page.locator("button#download:enabled, #download button:enabled").wait_for()
  return download(page, folder)


def download(page, folder: pathlib.Path) -> tuple[str, np.ndarray]:
  """The file's name and its pixels."""
  with page.expect_download() as file:
    page.locator("#download").click()
  path = folder / "downloaded"
  file.value.save_as(path)
  return file.value.suggested_filename, pixels(path)


def pixels(path: pathlib.Path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


def message(page) -> str:
  toast = page.get_by_test_id("toast-body")
  toast.first.wait_for()
  return toast.first.inner_text()


def test_upload_run_and_download(page, photo, mask, tmp_path):
  upload(page, "photo", photo)
  upload(page, "mask", mask)
  page.locator("#mask-shown img").wait_for()
  name, after = harmonize(page, tmp_path)
  assert name == "photo-harmonized.png"
  before, inside = pixels(photo), pixels(mask) > 0
  np.testing.assert_array_equal(before[~inside], after[~inside])
  assert (before[inside] != after[inside]).any()


@pytest.mark.slow  # the brush draws with WebGL, here without a GPU
def test_painted_by_hand(page, photo, tmp_path):
  upload(page, "photo", photo)
  open_tab(page, "Paint it")
  canvas = page.locator("canvas").first
  # The empty canvas is shown reduced; a small photo on it is enlarged.
  page.get_by_text(re.compile(r"^[1-9]\d\d%$")).wait_for()
  box = canvas.bounding_box()
  x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
  page.mouse.move(x - 20, y)
  page.mouse.down()
  page.mouse.move(x + 20, y, steps=5)
  page.mouse.up()
  _, after = harmonize(page, tmp_path)
  changed = (pixels(photo) != after).any(-1)
  assert changed.any()
  assert not changed[:8].any()
  assert not changed[-8:].any()


def test_an_example_is_placed_and_moved(page, tmp_path):
  page.locator("#examples img").nth(2).click()
  shown = page.locator("#cutout-shown img")
  shown.wait_for()
  first = shown.get_attribute("src")
  page.locator("#across input[type=number]").fill("70")
  page.locator("#across input[type=number]").press("Tab")
  page.wait_for_function(
    "first => document.querySelector('#cutout-shown img')?.src !== first",
    arg=first,
  )
  name, after = harmonize(page, tmp_path)
  assert name == "garage-harmonized.png"
  assert after.shape == (500, 741, 3)


def test_a_wrong_file_is_told(page, server, tmp_path):
  path = tmp_path / "letter.png"
  path.write_text("no image at all")
  upload(page, "photo", path)
  assert "letter.png is not a JPEG, PNG, WebP, TIFF" in message(page)
  assert "Traceback" not in server.said()


def test_a_visitor_who_leaves_during_an_upload_is_no_failure(server):
  address = urllib.parse.urlsplit(server.wait())
  with socket.create_connection((address.hostname, address.port)) as visitor:
    visitor.sendall(
      b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
      b"Content-Type: multipart/form-data; boundary=b\r\n"
      b"Content-Length: 100000\r\n\r\n--b\r\nContent-Disposition: form-data; "
      b'name="files"; filename="a.png"\r\n\r\nthe beginning'
    )
    # The upload has begun once its file is there.
    deadline = time.monotonic() + PATIENCE / 1000
    while not list(server.temporary.rglob("tmp*")):
      assert time.monotonic() < deadline, "the upload did not begin"
      time.sleep(0.1)
  with urllib.request.urlopen(server.wait()) as answer:
    assert answer.status == 200
  assert "Traceback" not in server.said()


def source(page, place: str) -> str:
  """The address of the picture that is shown there."""
  return page.locator(f"#{place} img").get_attribute("src")


def test_what_is_dropped_is_shown_at_once(page, photo, mask):
  upload(page, "mask", mask)
  page.locator("#mask-shown img").wait_for()
  alone = source(page, "mask-shown")
  upload(page, "photo", photo)
  page.locator("#photo-shown img").wait_for()
  page.wait_for_function(
    "alone => document.querySelector('#mask-shown img')?.src !== alone",
    arg=alone,
  )
  with urllib.request.urlopen(source(page, "photo-shown")) as answer:
    shown = np.asarray(Image.open(answer).convert("RGB")).astype(int)
  assert abs(shown - pixels(photo)).mean() < 8  # it is compressed


def test_the_strength_changes_the_result(page, photo, mask, tmp_path):
  upload(page, "photo", photo)
  upload(page, "mask", mask)
  harmonize(page, tmp_path)
  # Something else is on the page by now, but it is not what the result is of.
  page.get_by_label("Black is the object").check()
  _, after = set_strength(page, 0.5, tmp_path)
  changed = (after != pixels(photo)).any(-1)
  assert changed.any()
  assert not changed[pixels(mask) == 0].any()
  _, after = set_strength(page, 0, tmp_path)
  np.testing.assert_array_equal(after, pixels(photo))


RESULT = (
  "[...document.querySelectorAll('#result img')].map((i) => i.src).join()"
)


def set_strength(page, value: float, folder: pathlib.Path):
  """Moves the slider; the file that there is then."""
  before = page.evaluate(RESULT)
  number = page.locator("#strength input[type=number]")
  number.fill(str(value))
  number.press("Tab")
  page.wait_for_function(f"before => ({RESULT}) !== before", arg=before)
  return download(page, folder)


def test_a_phone_shows_all_of_it(page, photo, mask, tmp_path):
  page.set_viewport_size({"width": 390, "height": 844})
  page.reload()
  page.locator("#examples img").first.click()
  page.locator("#mask-shown img").wait_for()
  harmonize(page, tmp_path)
  width = page.evaluate("document.scrollingElement.scrollWidth")
  assert width <= 390
  for name in ("photo", "run", "result", "download", "examples"):
    box = page.locator(f"#{name}").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_nothing_is_told_what_to_drop(page):
  page.locator("#run").click()
  assert "there is no photo yet" in message(page)


def test_a_full_queue_is_told(page):
  page.route(
    "**/queue/join*",
    lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}),
  )
  page.locator("#run").click()
  assert "currently busy. Please try again" in message(page)


def test_limits_are_told(page, tmp_path, rng):
  many = tmp_path / "many.png"
  Image.new("RGB", (1200, 1000)).save(many)
  upload(page, "photo", many)
  assert "many.png has 1200x1000 pixels, over the limit" in message(page)
  heavy = tmp_path / "heavy.png"
  noise = rng.integers(0, 256, (900, 900, 3)).astype(np.uint8)
  Image.fromarray(noise).save(heavy)
  page.locator("#mask input[type=file]").set_input_files(heavy)
  page.get_by_text("exceed the maximum allowed size").first.wait_for()
