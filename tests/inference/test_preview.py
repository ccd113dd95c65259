"""The strip of strengths, against values by hand."""

import numpy as np
import pytest

from hdnet_jax.inference import preview
from hdnet_jax.inference.strength import PREVIEWED

HEIGHT, WIDTH = 20, 300  # wider than its words
STRENGTHS = (0, 0.5, 1, 1.5)


def panels(strip: np.ndarray, count: int, width: int = WIDTH) -> np.ndarray:
  """The pictures of a strip whose columns are as wide as they."""
  step = width + preview._GAP
  assert strip.shape[1] == count * step - preview._GAP
  return np.stack(
    [strip[preview._LABEL :, i * step :][:, :width] for i in range(count)]
  )


@pytest.mark.parametrize(
  ("dtype", "unit"), [("uint8", 1), ("uint16", 257), ("float32", 1 / 255)]
)
def test_pictures_are_the_change_scaled_and_clipped(dtype, unit):
  before = np.full((HEIGHT, WIDTH, 3), 100.0)
  after = before.copy()
  after[3, 7] = 140, 220, 10
  strip = preview.draw_strip(
    (before * unit).astype(dtype), (after * unit).astype(dtype), STRENGTHS
  )
  assert strip.dtype == np.uint8
  assert strip.shape[0] == HEIGHT + preview._LABEL
  found = panels(strip, 4)
  expected = [[100] * 3, [120, 160, 55], [140, 220, 10], [160, 255, 0]]
  np.testing.assert_array_equal(found[:, 3, 7], expected)
  found[:, 3, 7] = 100
  assert (found == 100).all()


def test_large_photos_are_made_small():
  y, x = np.mgrid[:100, :200]
  before = np.stack([x, y, x + y], -1).astype(np.uint8)
  after = 255 - before
  strip = preview.draw_strip(before, after, side=150)
  assert strip.shape[0] == preview._LABEL + 75
  none, *_, whole, _, _ = panels(strip, len(PREVIEWED), 150)
  assert np.abs(none[37, 75].astype(int) - (100, 50, 150)).max() <= 1
  assert np.abs(whole[37, 75].astype(int) - (155, 205, 105)).max() <= 1


def test_what_is_transparent_is_white():
  before = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
  alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
  alpha[:, 0], alpha[:, 1] = 0, 51
  strip = preview.draw_strip(before, before + 40, STRENGTHS, alpha)
  for shown, value in zip(panels(strip, 4), (100, 120, 140, 160), strict=True):
    assert (shown[:, 0] == 255).all()
    assert (shown[:, 1] == 255 - (255 - value) // 5).all()
    assert (shown[:, 2:] == value).all()


def test_every_picture_has_its_strength_above_it():
  # A picture that is narrower than the words is in their middle.
  tiny = np.zeros((8, 8, 3), np.uint8)
  alone = [preview.draw_strip(tiny, tiny, [s]) for s in PREVIEWED]
  labels = {strip[: preview._LABEL].tobytes() for strip in alone}
  assert len(labels) == len(PREVIEWED)
  for strip in alone:
    assert (strip[: preview._LABEL] < 128).any()
    width = strip.shape[1]
    left = (width - 8) // 2
    assert width > 60
    below = strip[preview._LABEL :]
    assert (below[:, left : left + 8] == 0).all()
    assert (below[:, :left] == 255).all()
  gap = np.full((alone[0].shape[0], preview._GAP, 3), 255, np.uint8)
  parts = [part for strip in alone for part in (gap, strip)]
  np.testing.assert_array_equal(
    preview.draw_strip(tiny, tiny), np.concatenate(parts[1:], axis=1)
  )
