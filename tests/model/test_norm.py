import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model.norm import (
  EPSILON,
  RAIN,
  instance_norm,
  region_statistics,
)

NAMES = (
  "foreground_gamma",
  "foreground_beta",
  "background_gamma",
  "background_beta",
)


def make_masks() -> np.ndarray:
  """Half, empty, full and one pixel; 6x4."""
  masks = np.zeros((4, 6, 4, 1), np.float32)
  masks[0, :3, 1:] = 1
  masks[2] = 1
  masks[3, 2, 3] = 1
  return masks


def make_params(rng, channels: int) -> dict[str, np.ndarray]:
  return {name: rng.normal(size=channels).astype("float32") for name in NAMES}


def rain_by_definition(x, mask, params):
  """The definition, one region after the other, in float64."""
  x, mask = x.astype(np.float64), mask.astype(np.float64)

  def statistics(region):
    count = region.sum((1, 2), keepdims=True) + EPSILON
    mean = (x * region).sum((1, 2), keepdims=True) / count
    variance = ((x - mean) ** 2 * region).sum((1, 2), keepdims=True) / count
    return mean, np.sqrt(variance + EPSILON)

  mean_f, std_f = statistics(mask)
  mean_b, std_b = statistics(1 - mask)
  background = (x - mean_b) / std_b
  background = background * (1 + params["background_gamma"])
  background = background + params["background_beta"]
  foreground = (x - mean_f) / std_f * std_b + mean_b
  foreground = foreground * (1 + params["foreground_gamma"])
  foreground = foreground + params["foreground_beta"]
  return mask * foreground + (1 - mask) * background


def test_instance_norm_is_the_formula(rng):
  scale = np.array([1e-3, 1.0, 30.0])
  x = (scale * (3 + rng.normal(size=(2, 5, 4, 3)))).astype(np.float32)
  wide = x.astype(np.float64)
  mean = wide.mean((1, 2), keepdims=True)
  expected = (wide - mean) / np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
  np.testing.assert_allclose(instance_norm(x), expected, rtol=0, atol=1e-4)


def test_instance_norm_of_one_pixel_is_zero():
  np.testing.assert_array_equal(instance_norm(jnp.full((1, 1, 1, 2), 7.0)), 0)


def test_rain_is_the_definition(rng):
  masks = make_masks()
  x = rng.normal(size=(4, 6, 4, 5)) * [0.1, 1, 2, 5, 1] + [0, 3, -2, 0, 9]
  x = x.astype(np.float32)
  params = make_params(rng, 5)
  actual = RAIN().apply({"params": params}, x, masks)
  expected = rain_by_definition(x, masks, params)
  # A lone pixel is divided by sqrt(EPSILON), and its rounding error with it.
  np.testing.assert_allclose(actual[:3], expected[:3], rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(actual[3], expected[3], rtol=1e-3, atol=1e-2)


def test_rain_starts_as_the_identity_affine(rng):
  x = jnp.ones((1, 2, 2, 3))
  params = RAIN().init(jax.random.key(0), x, x[..., :1])["params"]
  assert params.keys() == set(NAMES)
  for leaf in params.values():
    np.testing.assert_array_equal(leaf, np.zeros(3, np.float32))


def test_rain_has_finite_gradients_for_every_mask(rng):
  masks = make_masks()
  x = rng.normal(size=(4, 6, 4, 3)).astype(np.float32)
  cotangent = rng.normal(size=x.shape).astype(np.float32)
  params = make_params(rng, 3)

  @jax.jit
  def run(params, x):
    y, backward = jax.vjp(
      lambda params, x: RAIN().apply({"params": params}, x, masks), params, x
    )
    return y, backward(cotangent)

  for leaf in jax.tree.leaves(run(params, x)):
    assert np.isfinite(leaf).all()
  # Features without any spread are the worst case of a standard deviation.
  for leaf in jax.tree.leaves(run(params, np.ones_like(x))):
    assert np.isfinite(leaf).all()


@pytest.mark.parametrize("norm", ["instance", "rain"])
def test_statistics_are_float32_for_narrow_features(rng, norm):
  x = (8 + rng.normal(size=(1, 16, 16, 2))).astype(jnp.bfloat16)
  mask = np.zeros((1, 16, 16, 1), np.float32)
  mask[:, 4:12, 4:12] = 1
  params = {"params": make_params(rng, 2)}

  def run(x):
    if norm == "instance":
      return instance_norm(x)
    return RAIN().apply(params, x, mask)

  narrow, wide = run(x), run(x.astype(jnp.float32))
  assert narrow.dtype == jnp.bfloat16
  # Only the result is rounded.
  np.testing.assert_array_equal(narrow, wide.astype(jnp.bfloat16))


def test_statistics_of_many_pixels_hardly_round(rng):
  """A sum that adds 65,536 numbers one by one is off by 4e-6."""
  x = rng.normal(3, 1, (1, 256, 256, 4)).astype(np.float32)
  region = (rng.random((1, 256, 256, 1)) > 0.7).astype(np.float32)
  mean, deviation = jax.jit(region_statistics)(x, region)
  inside = x[0][region[0, ..., 0] > 0].astype(np.float64)
  np.testing.assert_allclose(mean[0, 0, 0], inside.mean(0), rtol=5e-7)
  np.testing.assert_allclose(deviation[0, 0, 0], inside.std(0), rtol=1e-5)
