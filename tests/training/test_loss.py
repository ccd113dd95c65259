import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.training.loss import foreground_loss


def make(rng, batch=3, size=16):
  shape = (batch, size, size, 3)
  harmonized = rng.uniform(-1, 1, shape).astype(np.float32)
  real = rng.uniform(-1, 1, shape).astype(np.float32)
  mask = np.zeros((*shape[:3], 1), np.float32)
  return harmonized, real, mask


def test_by_hand():
  real = jnp.zeros((2, 2, 2, 3))
  harmonized = real.at[0, 0, 0].set(jnp.array([1.0, 2.0, 3.0]))
  harmonized = harmonized.at[0, 1, 0, 0].set(-2.0)
  mask = jnp.zeros((2, 2, 2, 1)).at[0, :, 0].set(1.0)
  # (1 + 4 + 9 + 4) / (3 * 2), and an image that is right.
  loss = foreground_loss(harmonized, real, mask, min_area=1)
  assert loss.tolist() == [3, 0]


def test_is_of_each_image(rng):
  harmonized, real, mask = make(rng)
  mask[:, :12] = 1  # 192 pixels
  mask[1, 12] = 1  # 208
  squared = (harmonized.astype(np.float64) - real) ** 2
  expected = squared.sum(axis=(1, 2, 3)) / (3 * np.array([192, 208, 192]))
  loss = jax.jit(foreground_loss)(harmonized, real, mask)
  assert loss.shape == (3,)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("area", "options", "divisor"),
  [
    (99, {}, 300),
    (100, {}, 300),
    (101, {}, 303),
    (101, {"min_area": 150}, 450),
    (7, {"min_area": 5}, 21),
    (0, {}, 300),
  ],
)
def test_area_has_a_floor(rng, area, options, divisor):
  harmonized, real, mask = make(rng, batch=1)
  mask.reshape(-1)[:area] = 1
  squared = float(((harmonized.astype(np.float64) - real) ** 2).sum())
  loss = foreground_loss(harmonized, real, mask, **options)
  np.testing.assert_allclose(loss, [squared / divisor], rtol=1e-5)


@pytest.mark.parametrize("min_area", [100.0, 1.0])
def test_empty_mask_is_finite(rng, min_area):
  _, real, mask = make(rng)

  def loss(harmonized):
    return foreground_loss(harmonized, real, mask, min_area).sum()

  # A blended image is the composite outside the mask, and here all of it.
  value, gradient = jax.value_and_grad(loss)(real)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)
