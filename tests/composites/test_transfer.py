import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.composites.transfer import (
  Object,
  covariance,
  distribution,
  reinhard_lab,
)

SIZE = 32
TRANSFERS = (covariance, reinhard_lab, distribution)


def noisy(rng, mean, spread) -> np.ndarray:
  photo = mean + rng.normal(size=(SIZE, SIZE, 3)) @ spread
  return photo.clip(0, 1).astype(np.float32)


@pytest.fixture
def images(rng):
  """A photo, its mask, a donor of other colours, and the mask of that."""
  photo = noisy(rng, [0.5, 0.45, 0.4], 0.06 * np.eye(3) + 0.02)
  donor = noisy(rng, [0.4, 0.5, 0.55], 0.05 * np.eye(3) + 0.01)
  mask = np.zeros((SIZE, SIZE, 1), np.float32)
  mask[4:28, 6:30] = 1
  return Object(photo, mask), Object(donor, mask[::-1])


def lab(x: np.ndarray) -> np.ndarray:
  """Reinhard et al. 2001, equations 4 to 6, with natural logarithms."""
  to_lms = [
    [0.3811, 0.5783, 0.0402],
    [0.1967, 0.7244, 0.0782],
    [0.0241, 0.1288, 0.8444],
  ]
  x, y, z = np.moveaxis(np.log(x @ np.array(to_lms).T), -1, 0)
  return np.stack(
    [(x + y + z) / 3**0.5, (x + y - 2 * z) / 6**0.5, (x - y) / 2**0.5], axis=-1
  )


def test_covariance_gives_the_donors(images):
  own, donor = images
  result = np.asarray(jax.jit(covariance)(jax.random.key(0), *images))
  inside = result[own.mask[..., 0] == 1]
  expected = donor.photo[donor.mask[..., 0] == 1]
  np.testing.assert_allclose(inside.mean(0), expected.mean(0), atol=1e-4)
  np.testing.assert_allclose(np.cov(inside.T), np.cov(expected.T), atol=3e-5)


def test_reinhard_gives_the_donors_statistics_in_lab(images):
  own, donor = images
  result = np.asarray(jax.jit(reinhard_lab)(jax.random.key(0), *images))
  inside = lab(result[own.mask[..., 0] == 1])
  expected = lab(donor.photo[donor.mask[..., 0] == 1])
  np.testing.assert_allclose(inside.mean(0), expected.mean(0), atol=5e-3)
  np.testing.assert_allclose(inside.std(0), expected.std(0), atol=5e-3)


def test_distributions_come_nearer_from_all_sides(rng, images):
  own, donor = images
  result = np.asarray(jax.jit(distribution)(jax.random.key(0), *images))
  sides = rng.normal(size=(3, 32))
  sides /= np.linalg.norm(sides, axis=0)
  expected = np.sort(donor.photo[donor.mask[..., 0] == 1] @ sides, axis=0)

  def distance(image):
    found = np.sort(image[own.mask[..., 0] == 1] @ sides, axis=0)
    return np.abs(found - expected).mean()

  assert 3 * distance(result) < distance(own.photo)


@pytest.mark.parametrize(
  "transfer",
  [
    covariance,
    reinhard_lab,
    pytest.param(distribution, marks=pytest.mark.slow),  # compiles for seconds
  ],
)
def test_odd_masks_and_flat_photos_are_finite(transfer, rng):
  # All in one batch: the object and the donor each empty, one pixel or full.
  masks = np.zeros((3, SIZE, SIZE, 1), np.float32)
  masks[1, 3, 5], masks[2] = 1, 1
  mask, donor_mask = np.repeat(masks, 3, axis=0), np.tile(masks, (3, 1, 1, 1))
  noise = rng.uniform(size=(9, SIZE, SIZE, 3)).astype(np.float32)
  flat = np.full_like(noise, 0.5)
  keys = jax.random.split(jax.random.key(0), 9)
  make = jax.jit(jax.vmap(transfer))
  for photo, donor in ((noise, flat), (flat, noise), (flat, 0 * flat)):
    changed = make(keys, Object(photo, mask), Object(donor, donor_mask))
    assert np.isfinite(changed).all()
    # Of objects of a pixel or none there is nothing to be learned.
    small = np.minimum(mask.sum((1, 2, 3)), donor_mask.sum((1, 2, 3))) < 16
    np.testing.assert_array_equal(
      np.asarray(changed)[small], jnp.asarray(photo)[small]
    )
