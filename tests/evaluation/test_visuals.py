import itertools
import math

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFont

from hdnet_jax.evaluation import visuals
from hdnet_jax.evaluation.visuals import COLUMNS, Comparison, grid

FACTOR = 3  # by which pictures of this size are enlarged
HEIGHT, WIDTH = 40, 64
SHOWN_HEIGHT, SHOWN_WIDTH = FACTOR * HEIGHT, FACTOR * WIDTH


@pytest.fixture
def make_comparison(rng):
  def make(name: str = "photo", psnr: float = 30.0) -> Comparison:
    composite, harmonized, real = rng.integers(
      0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8
    )
    mask = rng.integers(0, 2, (HEIGHT, WIDTH, 1), dtype=np.uint8)
    return Comparison(name, composite, mask, harmonized, real, 20.0, psnr)

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


def test_the_grid_grows_by_rows(make_comparison):
  sizes = [grid([make_comparison()] * rows).size for rows in (1, 2, 3)]
  assert {width for width, _ in sizes} == {sizes[0][0]}
  heights = [height for _, height in sizes]
  assert heights[1] - heights[0] == heights[2] - heights[1] > SHOWN_HEIGHT


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
  ((top, left),) = places(np.asarray(image), pictures(without)[-1])
  assert is_empty(image.crop((left, top + SHOWN_HEIGHT, *image.size)))


@pytest.mark.parametrize("length", [1, 3, 12, 200])
def test_long_names_are_shortened(make_comparison, length):
  # Nothing is written outside the column, not even of 200 letters.
  comparison = make_comparison("w" * length)
  image = grid([comparison])
  ((top, left),) = places(np.asarray(image), pictures(comparison)[-1])
  right_of_it = (left + SHOWN_WIDTH, 0, *image.size)
  assert is_empty(image.crop(right_of_it))
  left_of_it = (left - 3, top, left, image.height)
  assert is_empty(image.crop(left_of_it))


def test_names_that_fit_are_whole_and_others_end_in_an_ellipsis():
  font = ImageFont.load_default(11)
  written = []

  class Recorder:
    def textlength(self, text, font):
      return font.getlength(text)

    def text(self, place, text, **style):
      written.append((place, text))

  for name in ("short", "a_very_long_name_of_a_photo"):
    visuals._label(Recorder(), font, 100, 0, WIDTH, name)
  assert written[0][1] == "short"
  shortened = written[1][1]
  assert shortened.endswith("…")
  assert "a_very_long".startswith(shortened[:-1])
  for (left, _), text in written:
    assert left >= 100
    # In the middle.
    rest = WIDTH - font.getlength(text)
    assert left == pytest.approx(100 + rest / 2)


@pytest.mark.parametrize("psnr", [math.inf, 0.0, 123.456])
def test_any_psnr_can_be_written(make_comparison, psnr):
  assert (
    grid([make_comparison(psnr=psnr)]).size == grid([make_comparison()]).size
  )


@pytest.mark.parametrize(
  ("size", "factor"), [(8, 18), (64, 3), (72, 2), (144, 1), (256, 1)]
)
def test_any_size_is_shown_at_144_pixels_or_more(rng, size, factor):
  pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
  mask = np.ones((size, size, 1), np.uint8)
  image = grid([Comparison("x", pixels, mask, pixels, pixels, 1.0, 2.0)])
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
