import dataclasses
import itertools
import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image, ImageChops, ImageFont
from skimage.metrics import peak_signal_noise_ratio

from hdnet_jax.evaluation import visuals
from hdnet_jax.evaluation.visuals import COLUMNS, Comparison, grid

REAL = COLUMNS.index("real")  # its caption is the title
FACTOR = 3  # by which pictures of this size are enlarged
HEIGHT, WIDTH = 40, 64
SHOWN_HEIGHT, SHOWN_WIDTH = FACTOR * HEIGHT, FACTOR * WIDTH


@pytest.fixture
def make_comparison(rng):
  def make(name: str = "photo") -> Comparison:
    composite, harmonized, real = rng.integers(
      0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8
    )
    mask = rng.integers(0, 2, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    return Comparison(name, composite, mask, harmonized, real)

  return make


def places(image: np.ndarray, part: np.ndarray) -> list[tuple[int, int]]:
  """Tops and lefts where `part` is in `image`, pixel by pixel."""
  height, width = part.shape[:2]
  rows, columns = np.nonzero(np.all(image == part[0, 0], axis=-1))
  return [
    (top, left)
    for top, left in zip(rows.tolist(), columns.tolist(), strict=True)
    if np.array_equal(image[top : top + height, left : left + width], part)
  ]


def pictures(comparison: Comparison) -> list[np.ndarray]:
  images = [
    comparison.composite,
    comparison.mask,
    comparison.harmonized,
    comparison.real,
    visuals.error_map(comparison.composite, comparison.real),
    visuals.error_map(comparison.harmonized, comparison.real),
  ]
  return [np.asarray(visuals.picture(image, FACTOR)) for image in images]


def is_empty(image: Image.Image) -> bool:
  white = Image.new("RGB", image.size, (255, 255, 255))
  return ImageChops.difference(image, white).getbbox() is None


@pytest.mark.parametrize("rows", [1, 3])
def test_every_picture_is_in_its_place(make_comparison, rows):
  comparisons = [make_comparison(f"photo {row}") for row in range(rows)]
  image = grid(comparisons)
  assert image.mode == "RGB"
  pixels = np.asarray(image)
  found = []
  for comparison in comparisons:
    line = []
    for picture in pictures(comparison):
      (place,) = places(pixels, picture)
      line.append(place)
    found.append(line)
  # A row an example, a column a kind, without overlap and inside the canvas.
  lefts = [left for _, left in found[0]]
  assert len(lefts) == len(COLUMNS)
  assert all(b - a >= SHOWN_WIDTH for a, b in itertools.pairwise(lefts))
  assert image.width >= lefts[-1] + SHOWN_WIDTH
  tops = [line[0][0] for line in found]
  # With room for a caption below each.
  room = SHOWN_HEIGHT + 11
  assert all(b - a >= room for a, b in itertools.pairwise(tops))
  assert image.height >= tops[-1] + room
  for line, top in zip(found, tops, strict=True):
    assert line == [(top, left) for left in lefts]


def test_captions_are_under_their_pictures(make_comparison):
  with_name, without = make_comparison("photo"), make_comparison("")
  image = grid([with_name])
  pixels = np.asarray(image)
  for picture in pictures(with_name):
    ((top, left),) = places(pixels, picture)
    below = (left, top + SHOWN_HEIGHT, left + SHOWN_WIDTH, image.height)
    assert not is_empty(image.crop(below))
    # Between the columns there is nothing.
    gap = (left + SHOWN_WIDTH, 0, left + SHOWN_WIDTH + 1, image.height)
    assert is_empty(image.crop(gap))
  image = grid([without])
  ((top, left),) = places(np.asarray(image), pictures(without)[REAL])
  below = (left, top + SHOWN_HEIGHT, left + SHOWN_WIDTH, image.height)
  assert is_empty(image.crop(below))


@pytest.mark.parametrize("length", [1, 3, 12, 200])
def test_long_names_are_shortened(make_comparison, length):
  # Nothing is written outside the column, not even of 200 letters.
  comparison = make_comparison("w" * length)
  image = grid([comparison])
  ((top, left),) = places(np.asarray(image), pictures(comparison)[REAL])
  right = left + SHOWN_WIDTH
  assert is_empty(image.crop((right, 0, right + 3, image.height)))
  left_of_it = (left - 3, top, left, image.height)
  assert is_empty(image.crop(left_of_it))


def test_names_that_fit_are_whole_and_others_end_in_an_ellipsis():
  font = ImageFont.load_default(11)
  assert visuals.shortened("short", font, WIDTH) == "short"
  text = visuals.shortened("a_very_long_name_of_a_photo", font, WIDTH)
  assert text.endswith("…")
  assert "a_very_long".startswith(text[:-1])
  assert font.getlength(text) <= WIDTH


def test_a_perfect_image_can_be_shown(make_comparison):
  comparison = make_comparison()
  for image in (comparison.composite, comparison.harmonized):
    expected = peak_signal_noise_ratio(comparison.real, image)
    assert comparison.psnr(image) == pytest.approx(expected)
  perfect = dataclasses.replace(comparison, harmonized=comparison.real)
  assert perfect.psnr(perfect.harmonized) == math.inf
  assert grid([perfect]).size == grid([comparison]).size


def test_error_maps_are_on_one_scale():
  truth = np.full((1, 4, 3), 100, np.uint8)
  image = truth + np.array([[[0], [32], [64], [128]]], np.uint8)
  black, half, white, more = visuals.error_map(image, truth)[0]
  assert black.max() < 10
  assert white.tolist() == more.tolist()
  assert black.sum() < half.sum() < white.sum()
  # The mean of the channels, whatever their sign.
  image = truth.copy()
  image[0, 0] += np.array([96, 0, 0], np.uint8)
  image[0, 1] -= np.array([0, 96, 0], np.uint8)
  maps = visuals.error_map(image, truth)[0]
  assert maps[0].tolist() == maps[1].tolist() == half.tolist()


def row_of(protocol, ratio, before, after):
  return {
    "protocol": protocol,
    "ratio": ratio,
    "composite_fmse": before,
    "harmonized_fmse": after,
  }


def test_scatter(tmp_path, monkeypatch):
  drawn = []
  scatter = Axes.scatter

  def record(panel, x, y, **style):
    drawn.append((panel, list(x), list(y), style["label"]))
    return scatter(panel, x, y, **style)

  monkeypatch.setattr(Axes, "scatter", record)
  rows = [
    row_of("standard", 0.01, 100, 50),
    row_of("standard", 0.5, 200, 0),
    row_of("paper", 0.5, 300, 400),
  ]
  visuals.scatter(rows, tmp_path / "scatter.png")
  assert [line[1:] for line in drawn] == [
    ([100], [50], "foreground 0-5 %: 1"),
    ([], [], "foreground 5-15 %: 0"),
    ([200], [0.1], "foreground 15-100 %: 1"),
    ([], [], "foreground 0-5 %: 0"),
    ([], [], "foreground 5-15 %: 0"),
    ([300], [400], "foreground 15-100 %: 1"),
  ]
  standard, paper = drawn[0][0], drawn[3][0]
  assert "(100% are lower)" in standard.get_ylabel()
  assert "(0% are lower)" in paper.get_ylabel()
  # The same numbers make the same file.
  visuals.scatter(rows, tmp_path / "again.png")
  first = (tmp_path / "scatter.png").read_bytes()
  assert first == (tmp_path / "again.png").read_bytes()
  with Image.open(tmp_path / "scatter.png") as image:
    assert min(image.size) > 400


@pytest.mark.parametrize(
  ("size", "factor"), [(8, 18), (64, 3), (72, 2), (144, 1), (256, 1)]
)
def test_any_size_is_shown_at_144_pixels_or_more(rng, size, factor):
  pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
  mask = np.ones((size, size, 1), np.uint8)
  image = grid([Comparison("x", pixels, mask, pixels, pixels)])
  shown = np.asarray(visuals.picture(pixels, factor))
  assert shown.shape[1] == factor * size >= 144
  assert len(places(np.asarray(image), shown)) == 3


def test_pictures_are_shown_as_they_are(rng):
  photo = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
  np.testing.assert_array_equal(visuals.picture(photo, 1), photo)
  mask = np.array([[0, 1], [1, 0]], np.uint8)[..., None]
  white = np.kron([[0, 255], [255, 0]], np.ones((3, 3)))
  np.testing.assert_array_equal(
    visuals.picture(mask, 3), np.repeat(white[..., None], 3, axis=-1)
  )
