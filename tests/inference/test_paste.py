import dataclasses
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageCms

from hdnet_jax.errors import UserError
from hdnet_jax.images.metadata import Metadata
from hdnet_jax.images.reading import Picture
from hdnet_jax.inference.paste import lift, paste


def cutout(alpha, level: int = 200, dtype=np.uint8) -> Picture:
  alpha = np.array(alpha, dtype)
  pixels = np.full((*alpha.shape, 3), level, dtype)
  pixels[alpha == 0] = 7  # a colour that nobody is to see
  return Picture(pixels, alpha, name="cutout.png")


@pytest.fixture
def photo(rng) -> Picture:
  pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
  return Picture(pixels, name="photo.jpg")


def test_pasted_as_it_is(photo):
  alpha = np.zeros((4, 6))
  alpha[1:3, 1:5] = 255
  alpha[1, 1] = 128
  _, composite, mask, *_ = paste(cutout(alpha), photo, (10, 5), 1.0)
  np.testing.assert_allclose(mask[5:9, 10:16], alpha / 255, atol=1e-6)
  assert np.count_nonzero(mask) == 8
  np.testing.assert_array_equal(composite[mask == 1], 200)
  untouched = mask == 0
  np.testing.assert_array_equal(composite[untouched], photo.pixels[untouched])
  # Half of it shows the photo below.
  share = 128 / 255
  expected = share * 200 + (1 - share) * photo.pixels[6, 11].astype(float)
  np.testing.assert_allclose(composite[6, 11], expected, atol=0.51)


@pytest.mark.parametrize("at", [(-2, -1), (27, 18), (-1, 17)])
def test_what_lies_outside_is_left_out(photo, at):
  _, composite, mask, *_ = paste(cutout(np.full((4, 6), 255)), photo, at, 1.0)
  y, x = np.mgrid[:20, :30]
  x_in = (x >= at[0]) & (x < at[0] + 6)
  y_in = (y >= at[1]) & (y < at[1] + 4)
  np.testing.assert_array_equal(mask, x_in & y_in)
  assert (composite[mask > 0] == 200).all()


def test_scaled_without_a_rim(photo):
  alpha = np.zeros((8, 8))
  alpha[2:6, 2:6] = 255
  _, composite, mask, *_ = paste(cutout(alpha), photo, (3, 3), 2.0)
  assert mask[:, 19:].max() == 0
  assert mask.sum() == pytest.approx(4 * 16, rel=0.05)
  # The colour of what is transparent does not come through at the edges.
  assert (composite[mask > 0.99] == 200).all()
  edge = (mask > 0.3) & (mask < 0.99)
  share = mask[edge][:, None]
  above = (composite[edge] - (1 - share) * photo.pixels[edge]) / share
  np.testing.assert_allclose(above, 200, atol=3)


def test_depths_meet(photo):
  deep = Picture(photo.pixels.astype(np.uint16) * 257, name="photo.png")
  _, composite, *_ = paste(cutout(np.full((4, 6), 255)), deep, (1, 1), 1.0)
  assert composite.dtype == np.uint16
  assert (composite[1:5, 1:7] == 200 * 257).all()
  full = np.full((4, 6), 65535)
  sixteen = cutout(full, level=200 * 257, dtype=np.uint16)
  _, composite, *_ = paste(sixteen, photo, (1, 1), 1.0)
  assert (composite[1:5, 1:7] == 200).all()


@pytest.mark.parametrize("at", [(30, 0), (0, 20), (-6, 0), (0, -4)])
def test_nothing_of_it_on_the_photo(photo, at):
  with pytest.raises(UserError, match=r"is not on photo\.jpg, which is 30x20"):
    paste(cutout(np.full((4, 6), 255)), photo, at, 1.0)


def test_a_cutout_without_alpha(photo):
  with pytest.raises(UserError, match=r"photo\.jpg has no transparency"):
    paste(photo, photo, (0, 0), 1.0)


def test_on_a_transparent_photo_the_object_is_visible(photo):
  clear = np.full((20, 30), 255, np.uint8)
  clear[:, 15:] = 0
  clear[:, 14] = 100
  below = dataclasses.replace(photo, alpha=clear)
  alpha = np.full((6, 20), 255)
  alpha[0] = 128
  pasted = paste(cutout(alpha), below, (5, 5), 1.0)
  seen = pasted.photo.alpha
  assert (seen[6:11, 5:25] == 255).all()
  assert (pasted.pixels[6:11, 5:25] == 200).all()
  np.testing.assert_array_equal(seen[5, 15:25], 128)  # half over nothing
  np.testing.assert_array_equal(pasted.pixels[5, 15:25], 200)
  np.testing.assert_allclose(seen[5, 14], 128 + 127 * 100 / 255, atol=0.51)
  outside = pasted.mask == 0
  np.testing.assert_array_equal(seen[outside], clear[outside])
  np.testing.assert_array_equal(pasted.pixels[outside], photo.pixels[outside])


def over(layer: Picture, photo: Picture) -> tuple[np.ndarray, np.ndarray]:
  """A layer on a photo as image editors show it: colours, and alpha."""
  above = (layer.alpha / 255.0)[..., None]
  below = np.ones((20, 30)) if photo.alpha is None else photo.alpha / 255.0
  below = (1 - above) * below[..., None]
  total = above + below
  mixed = above * layer.pixels + below * photo.pixels
  return mixed / np.maximum(total, 1e-9), total[..., 0]


@pytest.mark.parametrize("transparent", [False, True])
def test_a_layer_over_the_photo_is_the_changed_composite(
  photo, rng, transparent
):
  alpha = rng.integers(0, 256, (8, 12))
  alpha[:2] = [[0], [255]]
  if transparent:
    below = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    below[:, :12] = 0
    photo = dataclasses.replace(photo, alpha=below)
  pasted = paste(cutout(alpha, level=120), photo, (-2, 5), 1.5)
  # As a network's: the faint change less.
  change = rng.uniform(-0.2, 0.2, (20, 30, 3)) * pasted.mask[..., None]
  changed = (pasted.pixels / 255 + change).clip(0, 1).astype(np.float32)
  layer = lift(pasted, changed)
  shown, total = over(layer, photo)
  seen = total > 0.1
  np.testing.assert_allclose(shown[seen], changed[seen] * 255, atol=4)
  assert abs(shown - changed * 255)[seen].mean() < 0.5
  np.testing.assert_allclose(layer.alpha, pasted.mask * 255, atol=0.51)
  assert not layer.pixels[layer.alpha == 0].any()  # the photo is not in it


def test_an_unchanged_layer_is_the_cutout(photo):
  alpha = np.full((4, 6), 128)
  alpha[1] = 1
  pasted = paste(cutout(alpha), photo, (3, 2), 1.0)
  layer = lift(pasted, pasted.pixels / np.float32(255))
  assert (layer.pixels[2:6, 3:9] == 200).all()  # without the photo's colours
  np.testing.assert_array_equal(layer.alpha[2:6, 3:9], alpha)


def test_cutouts_without_a_cut_are_told(photo):
  whole = paste(cutout(np.full((4, 6), 255)), photo, (1, 1), 1.0)
  assert whole.notes == (
    "cutout.png has no transparent part, so all of it is pasted; cut the "
    "object out where that is not meant.",
  )
  none = paste(cutout(np.zeros((4, 6))), photo, (1, 1), 1.0)
  (note,) = none.notes
  assert note == "All that is pasted of cutout.png is transparent."
  np.testing.assert_array_equal(none.pixels, photo.pixels)


def profile(swapped: bool = False) -> bytes:
  """A profile of sRGB; or of a space whose red is green, and its green red."""
  data = bytearray(
    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  )
  if swapped:
    places = {
      bytes(data[i : i + 4]): i
      for i in range(132, 132 + 12 * int.from_bytes(data[128:132]), 12)
    }
    first, second = places[b"rXYZ"], places[b"gXYZ"]
    data[first : first + 4], data[second : second + 4] = b"gXYZ", b"rXYZ"
  return bytes(data)


def with_profile(picture: Picture, icc: bytes | None) -> Picture:
  return dataclasses.replace(picture, metadata=Metadata(icc=icc))


def test_colours_are_converted_to_the_profile_of_the_photo(photo):
  alpha = np.full((4, 6), 255)
  alpha[0, 0] = 0
  source = cutout(alpha)
  source.pixels[1:] = 250, 40, 90
  swapped, plain = profile(swapped=True), profile()
  same = paste(source, photo, (2, 2), 1.0)
  for icc, target in ((plain, None), (None, plain), (swapped, swapped)):
    pasted = paste(
      with_profile(source, icc),
      with_profile(photo, target),
      (2, 2),
      1.0,
    )
    np.testing.assert_array_equal(pasted.pixels, same.pixels)
    assert pasted.notes == ()
  pasted = paste(
    with_profile(source, swapped),
    photo,
    (2, 2),
    1.0,
  )
  (note,) = pasted.notes
  assert note.startswith("Colours of cutout.png are converted from its profile")
  np.testing.assert_allclose(pasted.pixels[4, 4], (40, 250, 90), atol=3)
  back = paste(
    source,
    with_profile(photo, swapped),
    (2, 2),
    1.0,
  )
  np.testing.assert_allclose(back.pixels[4, 4], (40, 250, 90), atol=3)
  bad = paste(
    dataclasses.replace(
      source, metadata=Metadata(icc=bytes(16) + b"RGB " + bytes(200))
    ),
    photo,
    (2, 2),
    1.0,
  )
  assert "damaged" in bad.notes[0]
  np.testing.assert_array_equal(bad.pixels, same.pixels)


def resized(scale: float) -> list[int]:
  return [max(round(side * scale), 1) for side in (17, 24)]


@pytest.mark.parametrize(
  ("at", "scale"),
  [
    (at, scale)
    for at in ((-7, -3), (4, 2), (-300, -500))
    for scale in (0.11, 0.5, 1.7, 13.0, 50.0)
    if all(
      side > -start for side, start in zip(resized(scale), at, strict=True)
    )
  ],
)
def test_what_lands_on_the_photo_is_as_if_all_were_resized(
  photo, rng, at, scale
):
  alpha = rng.integers(0, 256, (24, 17), np.uint8)
  pixels = rng.integers(0, 256, (24, 17, 3), np.uint8)
  source = Picture(pixels, alpha, name="cutout.png")
  size = resized(scale)
  layers = [
    alpha / 255,
    *np.moveaxis(pixels / 255 * (alpha / 255)[..., None], 2, 0),
  ]
  whole = [
    np.asarray(
      Image.fromarray(layer.astype(np.float32)).resize(
        size, Image.Resampling.BILINEAR
      )
    )
    for layer in layers
  ]
  share, *colours = (
    np.pad(layer, ((max(at[1], 0), 20), (max(at[0], 0), 30)))[
      max(-at[1], 0) :, max(-at[0], 0) :
    ][:20, :30]
    for layer in whole
  )
  below = (1 - share)[..., None] * photo.pixels
  want = 255 * np.stack(colours, -1) + below
  pasted = paste(source, photo, at, scale)
  np.testing.assert_allclose(pasted.mask, share, atol=1e-3)
  np.testing.assert_allclose(pasted.pixels, want, atol=0.8)


@pytest.mark.parametrize("scale", [50, 400, 1e6, 1e-3, 1e308, 5e-324])
def test_memory_is_that_of_what_lands_on_the_photo(photo, scale):
  source = cutout(np.full((800, 1000), 255))
  tracemalloc.start()
  try:
    pasted = paste(source, photo, (0, 0), scale)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  # Of the photo; where all of the cut-out is on it, of that, in floats.
  bound = 30 * source.pixels.nbytes if scale < 1 else 10**6
  assert peak < bound
  assert (pasted.mask > 0).any()
