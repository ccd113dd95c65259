"""A cut-out on a photo: dragged, sized, dropped, pasted; the result follows."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

HEIGHT, WIDTH = 300, 400  # of the photo
ROWS, COLUMNS = 150, 200  # of the cut-out: half of it, as it is laid at first

# Keeps what the page asks its worker for.
LISTEN = """
  window.jobs = [];
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.place) jobs.push(message.place);
    post.call(this, message, ...rest);
  };
"""


@pytest.fixture
def background() -> np.ndarray:
  photo = Image.fromarray(data.coffee()).resize((WIDTH, HEIGHT))
  return np.asarray(photo)


@pytest.fixture
def cutout() -> np.ndarray:
  """An ellipse of another photo, RGBA, with a hard edge."""
  photo = Image.fromarray(data.astronaut()).resize((COLUMNS, ROWS))
  y, x = np.mgrid[:ROWS, :COLUMNS]
  inside = np.hypot(2 * y / ROWS - 1, 2 * x / COLUMNS - 1) < 0.9
  return np.dstack([np.asarray(photo), np.where(inside, 255, 0)]).astype(
    np.uint8
  )


def laid(background, cutout, left: int, top: int):
  """The composite, and its mask."""
  composite, mask = background.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
  here = slice(top, top + ROWS), slice(left, left + COLUMNS)
  alpha = cutout[..., 3]
  composite[here][alpha > 0] = cutout[alpha > 0][:, :3]
  mask[here] = alpha
  return composite, mask


@pytest.fixture
def pasted(example, background, cutout):
  """The page with the cut-out in the middle of the photo."""
  example.open_photo(background)
  example.give("cutout", example.save("cutout.png", cutout))
  example.says("s, of which the network")
  return example


def settle(example, move) -> None:
  """Does what moves the cut-out, and waits for the result there."""
  example.page.evaluate("document.getElementById('status').textContent = ''")
  move()
  example.says("s, of which the network")


def check(in_python, example, background, cutout, left, top) -> None:
  """Compares what is downloaded with Python's result at the place."""
  composite, mask = laid(background, cutout, left, top)
  after = example.download()
  np.testing.assert_array_equal(after[mask == 0], background[mask == 0])
  apart = abs(after.astype(int) - in_python(composite, mask))
  assert apart.max() <= 2
  assert (after != composite).any()


def test_dragged_by_the_mouse(in_python, pasted, background, cutout):
  check(in_python, pasted, background, cutout, 100, 75)
  page = pasted.page
  stage = page.locator("#stage").bounding_box()
  assert stage["width"] == WIDTH
  page.mouse.move(stage["x"] + 200, stage["y"] + 150)
  page.mouse.down()
  page.mouse.move(stage["x"] + 240, stage["y"] + 130, steps=4)

  settle(pasted, lambda: page.mouse.move(stage["x"] + 260, stage["y"] + 120))
  page.mouse.up()
  check(in_python, pasted, background, cutout, 160, 45)
  # What is seen is the result, too.
  shown = page.evaluate(
    "[...document.getElementById('after').getContext('2d')"
    f".getImageData(0, 0, {WIDTH}, {HEIGHT}).data]"
  )
  shown = np.reshape(shown, (HEIGHT, WIDTH, 4))[..., :3]
  np.testing.assert_array_equal(shown, pasted.download())


def test_by_keys_and_slider(in_python, pasted, background, cutout):
  page = pasted.page
  settle(pasted, lambda: page.locator("#stage").press("ArrowLeft"))
  settle(pasted, lambda: page.locator("#stage").press("ArrowDown"))
  check(in_python, pasted, background, cutout, 96, 78)
  settle(pasted, lambda: page.locator("#size").fill("100"))
  after = pasted.download()
  assert (after != background).any(-1).mean() > 0.5
  settle(pasted, lambda: page.locator("#size").fill("50"))
  check(in_python, pasted, background, cutout, 96, 78)


def size_of(example) -> int:
  return int(example.page.locator("#size").input_value())


def test_sized_by_the_wheel(pasted):
  pasted.page.locator("#stage").hover()
  settle(pasted, lambda: pasted.page.mouse.wheel(0, -200))
  assert size_of(pasted) == 61  # 50 times e to the power of 0.2


def test_sized_by_two_fingers(pasted):
  page = pasted.page
  stage = page.locator("#stage").bounding_box()
  touch = page.context.new_cdp_session(page)

  def send(kind: str, *columns: int) -> None:
    points = [
      {"x": stage["x"] + x, "y": stage["y"] + 150, "id": i}
      for i, x in enumerate(columns)
    ]
    touch.send(
      "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
    )

  send("touchStart", 180)
  send("touchStart", 180, 220)
  settle(pasted, lambda: send("touchMove", 170, 250))
  send("touchEnd")
  assert size_of(pasted) == 100  # twice as far apart


def test_only_the_newest_place_is_computed(
  in_python, visit, background, cutout
):
  with visit() as example:
    page = example.page
    page.add_init_script(LISTEN)
    page.reload()
    example.open_photo(background)
    example.give("cutout", example.save("cutout.png", cutout))
    example.says("s, of which the network")

    def burst() -> None:
      page.evaluate("""() => {
        jobs.length = 0;
        const stage = document.getElementById("stage");
        for (let i = 0; i < 20; i++) {
          stage.dispatchEvent(new KeyboardEvent(
            "keydown", { key: "ArrowRight", cancelable: true }));
        }
      }""")

    settle(example, burst)
    places = page.evaluate("jobs.map(({ across }) => across)")
    assert places == pytest.approx([0.51, 0.7])
    check(in_python, example, background, cutout, 180, 75)


def test_strength_follows_without_the_network(pasted, background, cutout):
  pasted.page.locator("#strength").fill("0")
  pasted.says("s, without the network")
  composite, _ = laid(background, cutout, 100, 75)
  np.testing.assert_array_equal(pasted.download(), composite)


def as_file(pixels: np.ndarray) -> str:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format="PNG")
  return base64.b64encode(file.getvalue()).decode()


def hand_over(example, event: str, name: str, pixels: np.ndarray) -> None:
  """Drops a file on the page's body, or pastes it from the clipboard."""
  example.page.evaluate(
    """([event, name, text]) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const files = new DataTransfer();
      files.items.add(new File([bytes], name, { type: "image/png" }));
      const how = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(event === "drop"
        ? new DragEvent(event, { ...how, dataTransfer: files })
        : new ClipboardEvent(event, { ...how, clipboardData: files }));
    }""",
    [event, name, as_file(pixels)],
  )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_dropped_or_pasted(event, in_python, example, background, cutout):
  example.says("Ready")
  hand_over(example, event, "photo.png", background)
  example.says("Paint what is to change")
  hand_over(example, event, "cutout.png", cutout)
  example.says("s, of which the network")
  check(in_python, example, background, cutout, 100, 75)
  # Another photo without transparency takes the place of both.
  hand_over(example, event, "other.png", background[:200])
  example.says("400 x 200 pixels")
  assert example.page.locator("#paint").is_visible()


def test_taken_away(pasted, background):
  pasted.page.get_by_role("button", name="Take it away").click()
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[50:100, 60:120] = 255
  pasted.open_mask(mask)
  after = pasted.harmonize()
  np.testing.assert_array_equal(after[mask == 0], background[mask == 0])


def test_a_large_photo_is_followed_in_small(example, background, cutout):
  """And downloaded at full size."""
  large = np.asarray(Image.fromarray(background).resize((1600, 1200)))
  example.open_photo(large)
  example.give("cutout", example.save("cutout.png", cutout))
  example.says("s, of which the network")
  width = example.page.evaluate("document.getElementById('after').width")
  assert width == 1024
  after = example.download()
  assert after.shape == large.shape
  changed = (after != large).any(-1)
  assert changed[400:800, 600:1000].all()
  assert not changed[:, :390].any()
