import numpy as np
import pytest

av = pytest.importorskip("av")

from hdnet_jax.app.video import colours  # noqa: E402
from hdnet_jax.errors import UserError  # noqa: E402


def frame_of(name="yuv420p", size=(16, 8), levels=(120, 100, 150), **tags):
  """A frame of one colour."""
  frame = av.VideoFrame(*size, name)
  deep = name.endswith("10le")
  for plane, level in zip(frame.planes, levels, strict=True):
    count = plane.buffer_size // (2 if deep else 1)
    kind = np.uint16 if deep else np.uint8
    plane.update(np.full(count, level, kind).tobytes())
  for tag, value in tags.items():
    setattr(frame, tag, value)
  return frame


def planes(frame) -> list[np.ndarray]:
  return [plane.copy() for plane in colours.planes(frame)]


# Red of BT.709 is (63, 102, 240) in limited range; of the others by hand from
# Kr and Kb. Full range: Y' = 255 Kr, Cb = 128 - 127.5 Kr / (1 - Kb).
@pytest.mark.parametrize(
  ("matrix", "range", "levels"),
  [
    (1, 1, (62.56, 102.34, 240)),
    (6, 1, (81.48, 90.20, 240)),
    (5, 1, (81.48, 90.20, 240)),
    (9, 1, (73.53, 96.72, 240)),
    (1, 2, (54.21, 98.78, 255.5)),
    (6, 2, (76.25, 84.97, 255.5)),
  ],
)
def test_red_in_every_matrix_and_range(matrix, range, levels):
  given = [min(round(level), 255) for level in levels]
  frame = frame_of(levels=given, colorspace=matrix, color_range=range)
  image = colours.to_rgb(frame)
  assert image.dtype == np.float32
  np.testing.assert_allclose(
    image, np.broadcast_to([1, 0, 0], image.shape), atol=0.006
  )


def test_what_is_not_tagged_is_taken_as_players_do():
  assert colours.coding(frame_of(colorspace=2)).red == 0.299
  large = frame_of(size=(1280, 16), colorspace=2)
  assert colours.coding(large).red == 0.2126


def test_a_matrix_that_is_no_sum():
  with pytest.raises(UserError, match="matrix 14"):
    colours.coding(frame_of(colorspace=14))


@pytest.mark.parametrize("size", [(16, 8), (15, 7), (2, 1)])
@pytest.mark.parametrize(
  "name",
  ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "yuv444p10le"],
)
def test_a_change_arrives(name, size):
  scale = 4 if name.endswith("10le") else 1
  levels = tuple(scale * level for level in (120, 100, 150))
  frame = frame_of(name, size, levels, colorspace=1)
  before, old = colours.to_rgb(frame), planes(frame)
  change = np.zeros_like(before)
  colours.add(frame, change)
  for plane, expected in zip(planes(frame), old, strict=True):
    np.testing.assert_array_equal(plane, expected)
  change[:] = 0.1, -0.05, 0.02
  colours.add(frame, change)
  after = colours.to_rgb(frame)
  # Of 219 or 224 levels, half of one in each plane.
  np.testing.assert_allclose(after - before, change, atol=0.008)


def test_only_what_changes_is_touched(rng):
  frame = frame_of(size=(32, 16), colorspace=1)
  for plane in frame.planes:
    plane.update(rng.integers(30, 220, plane.buffer_size, np.uint8).tobytes())
  old = planes(frame)
  change = np.zeros((16, 32, 3), np.float32)
  change[4:8, 10:20] = 0.1
  colours.add(frame, change)
  for plane, before, half in zip(planes(frame), old, (1, 2, 2), strict=True):
    inside = np.zeros(plane.shape, bool)
    inside[4 // half : 8 // half, 10 // half : 20 // half] = True
    np.testing.assert_array_equal(plane[~inside], before[~inside])
  assert (planes(frame)[0] != old[0])[4:8, 10:20].all()


def test_other_formats_become_planar(rng):
  pixels = rng.integers(0, 256, (16, 24, 3), np.uint8)
  frame = colours.planar(av.VideoFrame.from_ndarray(pixels), "yuv444p")
  assert (frame.colorspace, frame.color_range) == (1, 1)
  np.testing.assert_allclose(colours.to_rgb(frame) * 255, pixels, atol=3)
  assert colours.planar(frame, "yuv444p") is frame


@pytest.mark.parametrize(("range", "levels"), [(1, (16, 235)), (2, (0, 255))])
def test_gray_of_black_and_white(range, levels):
  for level, expected in zip(levels, (0, 1), strict=True):
    frame = frame_of(levels=(level, 128, 128), color_range=range)
    np.testing.assert_allclose(colours.to_gray(frame), expected, atol=1e-6)
  gray = av.VideoFrame.from_ndarray(np.full((8, 16), 255, np.uint8), "gray")
  np.testing.assert_allclose(colours.to_gray(gray), 1, atol=0.01)
