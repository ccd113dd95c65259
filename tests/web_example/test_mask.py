"""Photo and mask, against the Python call's own result."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from hdnet_jax.app.cli import main


def ellipse(height: int, width: int, soft: bool) -> np.ndarray:
  """A mask, uint8; a soft one rises over some pixels."""
  y, x = np.mgrid[:height, :width]
  far = np.hypot(y / height - 0.45, x / width - 0.6) / 0.3
  if not soft:
    return np.where(far < 1, 255, 0).astype(np.uint8)
  return np.clip((1 - far) * 2000, 0, 255).astype(np.uint8)


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
    (120, 700, True, 0.1, 2),
  ],
)
def test_as_in_python(in_python, example, height, width, soft, mean, most):
  photo = Image.fromarray(data.astronaut()).resize((width, height))
  before, mask = np.asarray(photo), ellipse(height, width, soft)
  example.open_photo(before)
  example.open_mask(mask)
  after = example.harmonize()

  np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
  changed = abs(after.astype(int) - before)[mask == 255]
  assert changed.mean() > 5
  expected = in_python(before, mask)
  apart = abs(after.astype(int) - expected)[mask > 0]
  assert apart.mean() <= mean
  assert apart.max() <= most


def test_faint_parts_far_from_the_object(in_python, example):
  """They take the maps of what is nearest to them."""
  before, mask = data.astronaut(), np.zeros((512, 512), np.uint8)
  mask[200:260, 220:300] = 255
  mask[20:60, 10:500] = 60
  mask[480:] = 100
  example.open_photo(before)
  example.open_mask(mask)
  after = example.harmonize()
  apart = abs(after.astype(int) - in_python(before, mask))
  assert apart.max() <= 2
  assert apart[mask > 0].mean() <= 0.2  # further from what was fitted


def test_painted_by_hand(example):
  before, page = data.astronaut(), example.page
  example.open_photo(before)
  box = page.locator("#paint").bounding_box()
  x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
  page.mouse.move(x - 60, y)
  page.mouse.down()
  page.mouse.move(x + 60, y, steps=5)
  page.mouse.up()
  page.touchscreen.tap(x, y + 100)
  changed = (example.harmonize() != before).any(-1)
  assert changed[240:270, 200:310].mean() > 0.9  # the stroke
  assert changed[346:366, 246:266].mean() > 0.9  # the tap
  assert changed.mean() < 0.05
  # What is erased is as it was; the rest is harmonized anew.
  page.locator("#edit").click()
  page.locator("#erase").check()
  page.locator("#brush").fill("10")
  page.touchscreen.tap(x, y + 100)
  after = example.harmonize()
  np.testing.assert_array_equal(after[346:366], before[346:366])
  assert (after[250:260, 220:290] != before[250:260, 220:290]).any()


def test_an_object_that_the_small_image_misses(in_python, example):
  before = np.asarray(Image.fromarray(data.astronaut()).resize((1024, 1024)))
  mask = np.zeros((1024, 1024), np.uint8)
  mask[500:700, 481] = 255
  example.open_photo(before)
  example.open_mask(mask)
  after = example.harmonize()
  expected = in_python(before, mask)
  assert (expected != before).any()
  assert abs(after.astype(int) - expected).max() <= 2


def test_strength_without_the_network(in_python, example):
  before, page = data.astronaut(), example.page
  mask = ellipse(512, 512, soft=True)
  example.open_photo(before)
  example.open_mask(mask)
  example.harmonize()
  for percent in (50, 0):
    page.locator("#strength").fill(str(percent))
    example.says("s, without the network")
    after = example.download()
    expected = in_python(before, mask, strength=percent / 100)
    assert abs(after.astype(int) - expected).max() <= 2
    page.evaluate("document.getElementById('status').textContent = ''")
  np.testing.assert_array_equal(after, before)
  page.locator("#strength").fill("150")
  example.says("s, without the network")
  full = in_python(before, mask).astype(float)
  more = before + 1.5 * (full - before)
  apart = abs(example.download() - more.clip(0, 255))
  assert apart.max() <= 3  # the rounding of `full`, enlarged


def test_mistakes_are_told(example, tmp_path):
  pixels = data.astronaut()
  example.open_photo(pixels)
  example.page.locator("#run").click()
  example.says("The mask covers nothing")
  example.give("mask", example.save("small.png", pixels[:9]))
  example.says("give a mask of the photo's size")
  example.open_mask(np.full((512, 512), 100, np.uint8))
  example.page.locator("#run").click()
  example.says("more than half opaque")
  clear = np.dstack([pixels, pixels[..., 0]])
  example.give("photo", example.save("clear.png", clear))
  example.says("clear.png is transparent in places")
  example.give("cutout", example.save("opaque.png", pixels))
  example.says("opaque.png has no transparency")
  (tmp_path / "letter.png").write_text("no image at all")
  example.give("photo", tmp_path / "letter.png")
  example.says("letter.png is no picture")


def test_a_wrong_network_is_told(visit, folder, gentle):
  network = folder / "hdnet.onnx"
  network.unlink()
  with visit() as example:
    example.says("hdnet export WEIGHTS")
    network.write_text("no network at all")
    example.page.reload()
    example.says("hdnet.onnx cannot be read")
    network.unlink()
    main.main(["export", str(gentle), str(network)])
    example.page.reload()
    example.says("export it with --uint8")


def test_by_keyboard(example):
  """Every control has a name, and what is pressed does not lose the focus."""
  page, pixels = example.page, data.astronaut()
  example.open_photo(pixels)
  mask = ellipse(*pixels.shape[:2], False)
  page.get_by_label("Mask, white").set_input_files(
    example.save("mask.png", mask)
  )
  example.says("The mask is mask.png")
  page.get_by_role("button", name="Harmonize").press("Enter")
  slider = page.get_by_role("slider", name="Before After")
  example.says("s, of which the network")
  slider.press("Home")
  assert page.evaluate("document.activeElement.id") == "compare"
  assert slider.input_value() == "0"
  page.get_by_role("button", name="Back to the mask").press("Enter")
  assert page.evaluate("document.activeElement.id") == "brush"
