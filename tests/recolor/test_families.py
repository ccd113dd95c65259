import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.exposure import match_histograms

from hdnet_jax.config import Recoloring
from hdnet_jax.errors import UserError
from hdnet_jax.recolor import FAMILIES, make_composites
from hdnet_jax.recolor.distribution import distribution, histogram
from hdnet_jax.recolor.transfer import covariance, reinhard_rgb

SIZE = 32

pytestmark = pytest.mark.usefixtures("unoptimized")


def noisy(rng, mean, spread) -> np.ndarray:
  photo = mean + rng.normal(size=(SIZE, SIZE, 3)) @ spread
  return photo.clip(0, 1).astype(np.float32)


@pytest.fixture
def images(rng):
  """A photo, a donor of other colours, and the masks of both."""
  photo = noisy(rng, [0.5, 0.45, 0.4], 0.06 * np.eye(3) + 0.02)
  donor = noisy(rng, [0.4, 0.5, 0.55], 0.05 * np.eye(3) + 0.01)
  mask = np.zeros((SIZE, SIZE, 1), np.float32)
  mask[4:28, 6:30] = 1
  return photo, mask, donor, mask[::-1]


def test_the_config_names_the_families():
  assert set(typing.get_args(Recoloring)) == set(FAMILIES)


def test_unknown_names_are_refused():
  arrays = [np.zeros((1, SIZE, SIZE, c), np.uint8) for c in (3, 1, 3, 1)]
  keys = jax.random.split(jax.random.key(0), 1)
  for names in ((), ("mixed", "warm")):
    with pytest.raises(UserError, match="valid names: reinhard_lab"):
      make_composites(keys, *arrays, families=names)


def test_covariance_gives_the_donors(images):
  _, mask, donor, donor_mask = images
  result = np.asarray(jax.jit(covariance)(jax.random.key(0), *images))
  inside = result[mask[..., 0] == 1]
  wanted = donor[donor_mask[..., 0] == 1]
  np.testing.assert_allclose(inside.mean(0), wanted.mean(0), atol=1e-4)
  np.testing.assert_allclose(np.cov(inside.T), np.cov(wanted.T), atol=3e-5)


def test_reinhard_in_rgb(images):
  photo, mask, donor, donor_mask = images
  result = jax.jit(reinhard_rgb)(jax.random.key(0), *images)
  ours, wanted = photo[mask[..., 0] == 1], donor[donor_mask[..., 0] == 1]
  expected = (photo - ours.mean(0)) / ours.std(0) * wanted.std(0)
  expected = (expected + wanted.mean(0)).clip(0, 1)
  np.testing.assert_allclose(result, expected, atol=1e-3)


def test_histograms_are_those_of_scikit_image(images):
  photo, mask, donor, donor_mask = images
  result = np.asarray(jax.jit(histogram)(jax.random.key(0), *images))
  inside = mask[..., 0] == 1
  expected = match_histograms(
    photo[inside], donor[donor_mask[..., 0] == 1], channel_axis=-1
  )
  error = np.abs(np.sort(result[inside], axis=0) - np.sort(expected, axis=0))
  assert error.mean() < 0.004


def test_distributions_come_nearer_from_all_sides(rng, images):
  photo, mask, donor, donor_mask = images
  result = np.asarray(jax.jit(distribution)(jax.random.key(0), *images))
  sides = rng.normal(size=(3, 32))
  sides /= np.linalg.norm(sides, axis=0)
  wanted = np.sort(donor[donor_mask[..., 0] == 1] @ sides, axis=0)

  def distance(image):
    found = np.sort(image[mask[..., 0] == 1] @ sides, axis=0)
    return np.abs(found - wanted).mean()

  assert 3 * distance(result) < distance(photo)


# Those that compile for seconds; test_composites.py has such masks for "mixed".
SLOW = ("distribution", "mixed")


@pytest.mark.parametrize(
  "name",
  [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in FAMILIES
  ],
)
def test_odd_masks_and_flat_photos(name, rng):
  # All in one batch: the object and the donor each empty, one pixel or full.
  masks = np.zeros((3, SIZE, SIZE, 1), np.uint8)
  masks[1, 3, 5], masks[2] = 1, 1
  mask, donor_mask = np.repeat(masks, 3, axis=0), np.tile(masks, (3, 1, 1, 1))
  noise = rng.integers(0, 256, (9, SIZE, SIZE, 3), dtype=np.uint8)
  flat = np.full_like(noise, 128)
  keys = jax.random.split(jax.random.key(0), 9)

  @jax.jit
  def make(real, donor, strength):
    # Bytes would hide what is not finite.
    floats = [jnp.asarray(x, jnp.float32) for x in (mask, donor_mask)]
    changed = jax.vmap(FAMILIES[name])(
      keys, real / 255.0, floats[0], donor / 255.0, floats[1]
    )
    inputs = (keys, real, mask, donor, donor_mask)
    return changed, make_composites(*inputs, strength, (name,))

  for real, donor in ((noise, flat), (flat, noise), (flat, 0 * flat)):
    changed, made = make(real, donor, 1.0)
    assert np.isfinite(changed).all()
    outside = np.broadcast_to(mask == 0, real.shape)
    np.testing.assert_array_equal(np.asarray(made)[outside], real[outside])
    np.testing.assert_array_equal(make(real, donor, 0.0)[1], real)


def test_the_named_families_only(rng):
  # One of "reinhard_rgb" and "covariance": never what a third would give.
  keys = jax.random.split(jax.random.key(0), 16)
  real = rng.integers(60, 200, (16, SIZE, SIZE, 3), dtype=np.uint8)
  mask = np.ones((16, SIZE, SIZE, 1), np.uint8)
  inputs = (keys, real, mask, np.roll(real // 2, 1, 0), mask)
  names = ("reinhard_rgb", "covariance")
  make = jax.jit(lambda *inputs: make_composites(*inputs, 1.0, names))
  made = np.asarray(make(*inputs), int)
  np.testing.assert_array_equal(make(*inputs), made)
  alone = [
    np.asarray(
      jax.jit(lambda *i, n=n: make_composites(*i, 1.0, (n,)))(*inputs), int
    )
    for n in names
  ]
  near = [np.abs(made - one).max((1, 2, 3)) <= 1 for one in alone]
  assert np.all(near[0] | near[1])
  assert near[0].any()
  assert near[1].any()


def test_a_batch_at_once_equals_one_by_one(rng, monkeypatch):
  # A CPU takes an example after the other, other devices the batch at once.
  keys = jax.random.split(jax.random.key(0), 6)
  real = rng.integers(60, 200, (6, SIZE, SIZE, 3), dtype=np.uint8)
  mask = np.ones((6, SIZE, SIZE, 1), np.uint8)
  inputs = (keys, real, mask, np.roll(real // 2, 1, 0), mask)
  names = ("reinhard_rgb", "covariance")

  def made():
    make = jax.jit(lambda *inputs: make_composites(*inputs, 1.0, names))
    return np.asarray(make(*inputs), int)

  one_by_one = made()
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert np.abs(made() - one_by_one).max() <= 1
