import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.recolor import make_composites, vary_photos
from hdnet_jax.recolor.composites import recolor
from hdnet_jax.recolor.retouch import DRAWS, RETOUCHES, change
from hdnet_jax.recolor.transfer import reinhard_lab

COUNT, SIZE = 64, 32


@functools.cache
def compiled(function):
  return jax.jit(function)


@pytest.fixture(scope="module")
def photos():
  """Examples of many photos, and the next one's object as a donor."""
  source = EmbeddedPhotos("train", SIZE)
  chosen = np.random.default_rng(0).permutation(len(source))[:COUNT]
  examples = [source[int(index)] for index in chosen]
  real, mask = (
    np.stack([example[name] for example in examples])
    for name in ("real", "mask")
  )
  return real, mask, np.roll(real, 1, axis=0), np.roll(mask, 1, axis=0)


@pytest.fixture(scope="module")
def keys():
  return jax.random.split(jax.random.key(0), COUNT)


@pytest.fixture(scope="module")
def composites(photos, keys):
  return composites_of(keys, *photos)


@functools.cache
def many_changes():
  """`change` of one photo, with many keys."""
  return jax.jit(jax.vmap(change, in_axes=(0, None, None, None)))


def composites_of(keys, *photos, strength: float = 1.0) -> np.ndarray:
  # A traced strength: one compilation for all.
  return np.asarray(compiled(make_composites)(keys, *photos, strength))


def flat_photo(*color: float) -> np.ndarray:
  return np.full((8, 8, 3), color, np.float32)


def lab(x: np.ndarray) -> np.ndarray:
  """Reinhard et al. 2001, equations 4 to 6, with natural logarithms."""
  lms = np.log(
    x
    @ np.array(
      [
        [0.3811, 0.5783, 0.0402],
        [0.1967, 0.7244, 0.0782],
        [0.0241, 0.1288, 0.8444],
      ]
    ).T
  )
  x, y, z = np.moveaxis(lms, -1, 0)
  return np.stack(
    [(x + y + z) / 3**0.5, (x + y - 2 * z) / 6**0.5, (x - y) / 2**0.5], axis=-1
  )


def noisy_photo(rng, mean, deviation: float) -> np.ndarray:
  photo = mean + deviation * rng.normal(size=(16, 16, 3))
  return photo.clip(0.05, 0.95).astype(np.float32)


def test_contract(photos, composites):
  assert composites.dtype == np.uint8
  assert composites.shape == photos[0].shape


def test_outside_the_mask_every_bit_stays(photos, composites):
  real, mask, *_ = photos
  outside = np.broadcast_to(mask == 0, real.shape)
  np.testing.assert_array_equal(composites[outside], real[outside])


def test_inside_the_mask_every_example_changes(photos, composites):
  real, mask, *_ = photos
  changed = np.any((composites != real) & (mask == 1), axis=(1, 2, 3))
  assert changed.all()


def test_composites_are_about_as_hard_as_real_ones(photos, composites):
  # The mean over iHarmony4's test composites is 1387.
  real, mask, *_ = photos
  squared = np.square(composites.astype(float) - real) * mask
  fmse = squared.sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
  assert 500 < fmse.mean() < 5000


def test_strength_0_leaves_the_photo(photos, keys):
  np.testing.assert_array_equal(
    composites_of(keys, *photos, strength=0.0), photos[0]
  )


def test_strength_scales_the_change(photos, keys, composites):
  def distance(images):
    return np.abs(images.astype(float) - photos[0]).mean()

  weak = composites_of(keys, *photos, strength=0.3)
  assert 0 < distance(weak) < 0.6 * distance(composites)


def test_the_key_gives_the_composite(photos, keys, composites):
  np.testing.assert_array_equal(composites_of(keys, *photos), composites)
  others = composites_of(jax.random.split(jax.random.key(1), COUNT), *photos)
  assert np.any(others != composites, axis=(1, 2, 3)).all()


def test_one_photo_becomes_many_composites(photos, keys):
  same = [np.repeat(array[:1], COUNT, axis=0) for array in photos]
  made = composites_of(keys, *same)
  assert len({image.tobytes() for image in made}) == COUNT


def test_a_composite_does_not_depend_on_its_batch(photos, keys, composites):
  # Other neighbours, other places.
  order = np.random.default_rng(1).permutation(COUNT)
  made = composites_of(keys[order], *(array[order] for array in photos))
  np.testing.assert_array_equal(made, composites[order])
  # Another batch size is another compilation: rounding may differ.
  few = composites_of(keys[:3], *(array[:3] for array in photos))
  np.testing.assert_allclose(few.astype(int), composites[:3], atol=1)


@pytest.mark.slow  # some hundred operations, compiled one by one
def test_jit_changes_nothing(photos, keys, composites):
  made = make_composites(keys[:8], *(array[:8] for array in photos))
  np.testing.assert_allclose(
    np.asarray(made, int), composites[:8].astype(int), atol=1
  )


def test_the_donor_matters_for_half_of_the_examples(photos, keys, composites):
  real, mask, *donors = photos
  others = composites_of(keys, real, mask, *(np.roll(d, 5, 0) for d in donors))
  differ = np.any(others != composites, axis=(1, 2, 3)).mean()
  assert 0.3 < differ < 0.7


def test_empty_and_full_masks(photos, keys):
  real, _, donor, donor_mask = photos
  for value in (0, 1):
    mask = np.full((COUNT, SIZE, SIZE, 1), value, np.uint8)
    made = composites_of(keys, real, mask, donor, donor_mask)
    unchanged = np.all(made == real, axis=(1, 2, 3))
    assert unchanged.all() if value == 0 else not unchanged.any()
    # And with such masks in the donor's place.
    made = composites_of(keys, real, photos[1], donor, mask)
    assert np.any(made != real)


def test_transfer_gives_the_donors_mean_and_deviation(rng):
  photo = noisy_photo(rng, [0.5, 0.4, 0.3], 0.08)
  donor = noisy_photo(rng, [0.35, 0.45, 0.6], 0.07)
  mask = np.zeros((16, 16, 1), np.float32)
  mask[4:12, 2:12] = 1
  donor_mask = np.zeros((16, 16, 1), np.float32)
  donor_mask[:9] = 1
  result = compiled(reinhard_lab)(None, photo, mask, donor, donor_mask)
  result = np.asarray(result)
  assert result.min() > 0
  assert result.max() < 1  # where nothing was clipped
  inside = lab(result)[mask[..., 0] == 1]
  wanted = lab(donor)[donor_mask[..., 0] == 1]
  np.testing.assert_allclose(inside.mean(0), wanted.mean(0), atol=1e-5)
  np.testing.assert_allclose(inside.std(0), wanted.std(0), rtol=1e-3)


@pytest.mark.parametrize(
  ("deviation", "factor"), [(0.1, 2.5), (0.002, 1 / 2.5)]
)
def test_transfer_bounds_the_change_of_deviation(rng, deviation, factor):
  photo = noisy_photo(rng, [0.5, 0.5, 0.5], 0.02)
  donor = noisy_photo(rng, [0.5, 0.5, 0.5], deviation)
  mask = np.ones((16, 16, 1), np.float32)
  result = compiled(reinhard_lab)(None, photo, mask, donor, mask)
  ratio = lab(np.asarray(result)).std((0, 1)) / lab(photo).std((0, 1))
  np.testing.assert_allclose(ratio, factor, rtol=2e-2)


@pytest.mark.parametrize("pixels", [0, 15, 16])
@pytest.mark.parametrize("tiny", ["object", "donor"])
def test_objects_too_small_for_statistics(rng, pixels, tiny):
  photo = noisy_photo(rng, [0.5, 0.4, 0.3], 0.05)
  donor = noisy_photo(rng, [0.3, 0.5, 0.6], 0.05)
  small = np.zeros((16, 16, 1), np.float32)
  small.flat[:pixels] = 1
  full = np.ones_like(small)
  masks = (small, full) if tiny == "object" else (full, small)
  result = compiled(reinhard_lab)(None, photo, masks[0], donor, masks[1])
  if pixels < 16:
    np.testing.assert_array_equal(result, photo)
  else:
    assert np.all(np.abs(result - photo).max((0, 1)) > 0.05)


@pytest.mark.parametrize("one_change", RETOUCHES)
def test_changes_by_zeros_are_the_identity(rng, one_change):
  photo = rng.uniform(size=(16, 16, 3)).astype(np.float32)
  photo[0, :3] = [[0, 0, 0], [1, 1, 1], [1, 0, 0]]
  mask = np.ones((16, 16, 1), np.float32)
  result = compiled(one_change)(np.zeros(DRAWS, np.float32), photo, mask)
  np.testing.assert_allclose(result, photo, atol=1.01e-4)


@pytest.mark.parametrize("one_change", RETOUCHES)
def test_changes_are_noticeable_and_bounded(rng, one_change):
  photo = rng.uniform(0.1, 0.9, size=(16, 16, 3)).astype(np.float32)
  mask = np.ones((16, 16, 1), np.float32)
  distances = [
    np.abs(compiled(one_change)(draw, photo, mask) - photo).mean()
    for draw in corners_and_draws(rng)
  ]
  assert 0.02 < max(distances) < 0.3


@pytest.mark.parametrize("one_change", RETOUCHES)
def test_changes_keep_the_order_of_grays(rng, one_change):
  # A brighter gray stays the brighter one, in every channel, to a level: light
  # does not invert a picture.
  ramp = np.linspace(0, 1, 256, dtype=np.float32)
  photo = np.broadcast_to(ramp[None, :, None], (1, 256, 3))
  mask = np.ones((1, 256, 1), np.float32)
  for draw in corners_and_draws(rng):
    result = np.asarray(compiled(one_change)(draw, photo, mask))
    assert np.diff(result, axis=1).min() > -1e-6


def corners_and_draws(rng) -> np.ndarray:
  """All signs of the first three numbers at their bounds, and some others."""
  signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
  corners = np.concatenate([signs, -signs], axis=1)[:, :DRAWS]
  draws = rng.uniform(-1, 1, (8, DRAWS))
  return np.concatenate([corners, draws]).astype(np.float32)


@pytest.mark.parametrize(
  "color", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0)]
)
@pytest.mark.parametrize("region", [0, 1])
def test_flat_photos_stay_finite(color, region):
  photo, donor = flat_photo(*color), flat_photo(0, 0, 0)
  mask = np.full((8, 8, 1), region, np.float32)
  for seed in range(4):
    key = jax.random.key(seed)
    for result in (
      compiled(change)(key, photo, mask, 1.0),
      compiled(recolor)(key, photo, mask, donor, mask, 1.0),
      compiled(recolor)(key, donor, mask, photo, mask, 1.0),
    ):
      assert np.isfinite(result).all()
      assert np.min(result) >= 0
      assert np.max(result) <= 1


@pytest.mark.parametrize("one_change", RETOUCHES)
def test_each_change_of_a_flat_photo_is_finite(rng, one_change):
  for color in ((0, 0, 0), (1, 1, 1), (0, 0, 1)):
    for region in (0, 1):
      mask = np.full((8, 8, 1), region, np.float32)
      for draw in corners_and_draws(rng):
        result = compiled(one_change)(draw, flat_photo(*color), mask)
        assert np.isfinite(result).all()


def test_at_least_one_change_takes_part():
  # Of six coins, none falls on the right side for one key in 64.
  photo = flat_photo(0.6, 0.5, 0.4)
  mask = np.ones((8, 8, 1), np.float32)
  keys = jax.random.split(jax.random.key(0), 512)
  results = many_changes()(keys, photo, mask, 1.0)
  moved = jnp.abs(results - photo).max((1, 2, 3))
  assert np.all(moved > 1e-5)


def test_each_change_takes_part_in_half_of_the_examples():
  # A gray photo stays gray in a quarter: two of the changes tint it.
  photo = flat_photo(0.5, 0.5, 0.5)
  mask = np.ones((8, 8, 1), np.float32)
  keys = jax.random.split(jax.random.key(0), 512)
  results = many_changes()(keys, photo, mask, 1.0)
  tints = np.ptp(results, axis=-1).max((1, 2))
  assert 0.19 < (tints < 1e-5).mean() < 0.31


def test_varied_photos(photos, keys):
  real = photos[0]
  varied = np.asarray(compiled(vary_photos)(keys, real, 1.0))
  assert varied.dtype == np.uint8
  assert varied.shape == real.shape
  assert np.any(varied != real, axis=(1, 2, 3)).all()
  np.testing.assert_array_equal(compiled(vary_photos)(keys, real, 1.0), varied)
  others = compiled(vary_photos)(keys[::-1], real, 1.0)
  assert np.any(others != varied, axis=(1, 2, 3)).all()


def test_variation_of_strength_0_only_moves_channels(photos, keys):
  real = photos[0]
  varied = np.asarray(compiled(vary_photos)(keys, real, 0.0))
  np.testing.assert_array_equal(np.sort(varied, -1), np.sort(real, -1))
  # Each of the six orders comes up.
  orders = set()
  for before, after in zip(real, varied, strict=True):
    order = [
      [np.array_equal(after[..., i], before[..., j]) for j in range(3)].index(
        True
      )
      for i in range(3)
    ]
    orders.add(tuple(order))
  assert len(orders) == 6
