"""The page's work, without the page."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app.demo import examples
from hdnet_jax.app.demo.work import (
  Cutout,
  MaskFile,
  Painted,
  Work,
  explain_errors,
)
from hdnet_jax.errors import UserError
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture, read_picture
from hdnet_jax.images.writing import write_picture
from hdnet_jax.inference.harmonizer import Harmonizer

HEIGHT, WIDTH = 40, 56


@pytest.fixture(scope="module")
def harmonizer(network):
  return Harmonizer.from_pretrained(network)


@pytest.fixture
def work(harmonizer, tmp_path) -> Work:
  return Work(harmonizer, tmp_path / "results", HEIGHT * WIDTH)


@pytest.fixture
def photo(tmp_path, rng) -> pathlib.Path:
  coarse = rng.integers(40, 220, (5, 7, 3)).repeat(8, 0).repeat(8, 1)
  path = tmp_path / "photo.png"
  Image.fromarray(coarse.astype(np.uint8)).save(path)
  return path


@pytest.fixture
def inside() -> np.ndarray:
  inside = np.zeros((HEIGHT, WIDTH), bool)
  inside[10:30, 12:40] = True
  return inside


@pytest.fixture
def mask(tmp_path, inside) -> pathlib.Path:
  path = tmp_path / "mask.png"
  Image.fromarray(inside).convert("L").save(path)
  return path


def pixels(path: pathlib.Path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


def check_changed(photo, result, inside) -> None:
  before, after = pixels(photo), pixels(result.path)
  np.testing.assert_array_equal(before[~inside], after[~inside])
  assert (before[inside] != after[inside]).any()


def test_a_mask_file(work, photo, mask, inside):
  result = work.harmonize(photo, MaskFile(mask))
  assert result.path.name == "photo-harmonized.png"
  check_changed(photo, result, inside)
  np.testing.assert_array_equal(result.before, pixels(photo))
  np.testing.assert_array_equal(result.after, pixels(result.path))
  assert result.notes == ()


def test_the_other_way_round(work, photo, mask, inside):
  for result in (
    work.harmonize(photo, MaskFile(mask, inverted=True)),
    work.harmonize(photo, MaskFile(mask), background=True),
  ):
    check_changed(photo, result, ~inside)


def test_how_far_it_is_is_told(work, photo, mask):
  told = []
  work.harmonize(
    photo, MaskFile(mask), tell=lambda share, what: told.append((share, what))
  )
  shares, words = zip(*told, strict=True)
  assert words == ("reading", "harmonizing", "writing")
  assert list(shares) == sorted(shares)


def test_painted_on_a_small_copy(work, photo, inside):
  layer = np.where(inside[::2, ::2], 255, 0).astype(np.uint8)
  around = np.zeros_like(inside)
  around[8:32, 10:42] = True
  check_changed(photo, work.harmonize(photo, Painted(layer)), around)


@pytest.fixture
def cutout(tmp_path) -> pathlib.Path:
  path = tmp_path / "cutout.png"
  Image.new("RGBA", (30, 20), (250, 10, 10, 255)).save(path)
  return path


def test_a_cutout_lands_where_it_is_shown(work, photo, cutout):
  place = Cutout(cutout, across=50, down=25, size=50)  # 28x19 of 56x40
  shown = np.asarray(work.show_cutout(photo, place))
  inside = (shown != pixels(photo)).any(-1)
  there = np.zeros_like(inside)
  there[1:20, 14:42] = True
  np.testing.assert_array_equal(inside, there)
  result = work.harmonize(photo, place)
  check_changed(photo, result, there)
  np.testing.assert_array_equal(result.before, shown)
  assert (pixels(result.path)[there] != (250, 10, 10)).any()


@pytest.mark.parametrize("across", [0, 100])
@pytest.mark.parametrize("down", [0, 100])
def test_every_place_is_on_the_photo(work, photo, cutout, across, down):
  for size in (5, 150):
    work.show_cutout(photo, Cutout(cutout, across, down, size))


def test_depth_profile_and_alpha_stay(work, mask, inside, tmp_path, rng):
  samples = rng.integers(0, 65536, (HEIGHT, WIDTH, 4)).astype(np.uint16)
  path = tmp_path / "deep.png"
  metadata = Metadata(exif=b"Exif\0\0II*\0\x08" + bytes(9))
  deep = Picture(samples[..., :3], samples[..., 3], metadata=metadata)
  write_picture(deep, deep.pixels, path)
  result = work.harmonize(path, MaskFile(mask))
  after = read_picture(result.path)
  assert after.pixels.dtype == np.uint16
  assert after.metadata.exif == metadata.exif
  np.testing.assert_array_equal(after.alpha, deep.alpha)
  np.testing.assert_array_equal(after.pixels[~inside], deep.pixels[~inside])
  assert result.after.mode == "RGB"


def test_the_contents_tell_the_format(work, photo, mask):
  with Image.open(photo) as image:
    image.save(photo, format="TIFF")
  result = work.harmonize(photo, MaskFile(mask))
  assert result.path.name == "photo-harmonized.tif"
  assert "is a TIFF file" in result.notes[0]


@pytest.mark.parametrize("format", ["BMP", "GIF"])
def test_what_is_not_written_becomes_png(work, photo, mask, format):
  with Image.open(photo) as image:
    image.save(photo.with_suffix(".x"), format)
  result = work.harmonize(photo.with_suffix(".x"), MaskFile(mask))
  assert result.path.name == "photo-harmonized.png"


def test_what_is_shown_is_small(harmonizer, tmp_path):
  work = Work(harmonizer, tmp_path, 10**8)
  path = tmp_path / "wide.png"
  Image.new("RGBA", (3000, 300), (0, 0, 0, 0)).save(path)
  shown = work.show(path)
  assert shown.size == (1024, 102)
  assert shown.getpixel((0, 0)) == (255, 255, 255)  # it is transparent
  result = work.harmonize(path, Painted(np.full((3, 30), 255, np.uint8)))
  assert result.before.size == result.after.size == (1600, 160)
  assert pixels(result.path).shape == (300, 3000, 4)


def test_a_mask_dims_the_background(work, photo, mask, inside):
  shown = np.asarray(work.show_mask(photo, MaskFile(mask)))
  np.testing.assert_array_equal(shown[inside], pixels(photo)[inside])
  assert (shown[~inside] < pixels(photo)[~inside]).all()


def test_an_odd_mask_is_told_in_the_words_of_the_page(work, photo, tmp_path):
  path = tmp_path / "black.png"
  Image.new("L", (WIDTH, HEIGHT)).save(path)
  (note,) = work.harmonize(photo, MaskFile(path)).notes
  assert "covers nothing" in note
  assert "'Black is the object'" in note
  assert "--" not in note


def test_a_turned_photo_and_a_mask_as_it_is_stored(work, photo, mask, inside):
  exif = Image.Exif()
  exif[0x0112] = 6
  with Image.open(photo) as image:
    image.save(photo, exif=exif)
  shown = np.asarray(work.show_mask(photo, MaskFile(mask)))
  assert shown.shape == (WIDTH, HEIGHT, 3)
  lit = shown == np.rot90(pixels(photo), -1)
  np.testing.assert_array_equal(lit.all(-1), np.rot90(inside, -1))
  result = work.harmonize(photo, MaskFile(mask))
  assert "is turned as that is" in result.notes[0]
  changed = (pixels(result.path) != np.rot90(pixels(photo), -1)).any(-1)
  np.testing.assert_array_equal(changed & ~np.rot90(inside, -1), False)
  assert changed.any()


def test_a_mask_of_another_shape_is_never_squashed(work, photo, tmp_path):
  path = tmp_path / "square.png"
  Image.new("L", (30, 30), 255).save(path)
  for show in (work.show_mask, work.harmonize):
    with pytest.raises(UserError, match="never stretched"):
      show(photo, MaskFile(path))


def test_mistakes(work, photo, mask, tmp_path):
  text, large = tmp_path / "text.png", tmp_path / "large.png"
  text.write_text("no image at all")
  Image.new("RGB", (WIDTH + 1, HEIGHT)).save(large)
  gone = tmp_path / "gone.png"
  empty = Painted(np.zeros((4, 4), np.uint8))
  for image, foreground, words in (
    (text, MaskFile(mask), "text.png is not a JPEG"),
    (large, MaskFile(mask), f"large.png has {WIDTH + 1}x{HEIGHT} pixels, over"),
    (photo, MaskFile(text), "text.png is not a JPEG"),
    (photo, MaskFile(large), "over the limit"),
    (photo, MaskFile(photo), "photo.png has colours"),
    (photo, Cutout(photo), "photo.png has no transparency"),
    (photo, Cutout(large), "over the limit"),
    (photo, empty, "paint over the object"),
    (gone, MaskFile(mask), "gone.png is gone from here"),
  ):
    with pytest.raises(UserError, match=words) as caught:
      work.harmonize(image, foreground)
    assert str(tmp_path) not in str(caught.value)
  with pytest.raises(UserError, match="strength"):
    work.harmonize(photo, MaskFile(mask), strength=2)


def test_examples(harmonizer, tmp_path):
  samples = examples.make(tmp_path)
  assert len(samples) == 3
  work = Work(harmonizer, tmp_path / "results", 10**6)
  for sample in samples:
    assert max(pixels(sample.thumbnail).shape) <= 320
    if sample.mask:
      work.show_mask(sample.photo, MaskFile(sample.mask))
      check_pasted(sample)
    else:
      work.show_cutout(sample.photo, Cutout(sample.cutout, *sample.place))
  again = tmp_path / "again"
  again.mkdir()
  for sample, other in zip(samples, examples.make(again), strict=True):
    assert sample.photo.read_bytes() == other.photo.read_bytes()


def check_pasted(sample) -> None:
  """The object comes from another photo; what is around it is the photo's."""
  photos = [
    np.asarray(examples.load_photo(pasting.photo))
    for pasting in examples.PASTINGS
  ]
  composite, mask = pixels(sample.photo), pixels(sample.mask)
  (photo,) = (
    photo
    for photo in photos
    if photo.shape == composite.shape and (photo == composite)[mask == 0].all()
  )
  assert (photo != composite)[mask > 0].mean() > 0.9


def test_what_is_told_of_failures(caplog):
  class Told(Exception):
    pass

  def fail(error: Exception):
    raise error

  assert explain_errors(lambda a, b: a + b, Told)(1, 2) == 3
  with pytest.raises(Told, match=r"^one line$"):
    explain_errors(fail, Told)(UserError("one line"))
  assert not caplog.records
  with pytest.raises(Told, match="Something went wrong") as caught:
    explain_errors(fail, Told)(KeyError("secret"))
  assert "secret" not in str(caught.value)
  assert caught.value.__suppress_context__
  assert "KeyError: 'secret'" in caplog.text  # with its traceback
