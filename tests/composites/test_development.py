import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.composites import development
from hdnet_jax.composites.development import AS_IT_IS, add, develop

DRAWS = (
  development.draw_expert,
  development.draw_dull,
  development.draw_light,
)


@pytest.fixture
def photo(rng) -> np.ndarray:
  return rng.uniform(size=(16, 16, 3)).astype(np.float32)


def settings(**values) -> development.Settings:
  return AS_IT_IS._replace(
    **{name: np.float32(value) for name, value in values.items()}
  )


def test_settings_of_0_are_the_photo(photo):
  np.testing.assert_allclose(develop(AS_IT_IS, photo), photo, atol=1e-6)


def test_one_stop_down_halves_linear_light():
  photo = np.full((1, 1, 3), 0.6, np.float32)
  result = np.asarray(develop(settings(exposure=-1), photo))
  np.testing.assert_allclose(result**2.2, photo**2.2 / 2, rtol=1e-5)


def test_white_balance_is_of_each_channel():
  photo = np.full((1, 1, 3), 0.4, np.float32)
  result = develop(settings(white_balance=[1, 0, -1]), photo)
  expected = 0.4 * 2 ** (np.array([1, 0, -1]) / 2.2)
  np.testing.assert_allclose(result[0, 0], expected, rtol=1e-5)


def test_contrast_leaves_the_pivot_and_saturation_leaves_gray():
  gray = np.full((1, 1, 3), 0.55, np.float32)
  changed = develop(settings(contrast=1, pivot=0.1, saturation=1), gray)
  np.testing.assert_allclose(changed, gray, atol=1e-6)
  dark = develop(settings(contrast=1, pivot=0.1), gray - 0.1)
  np.testing.assert_allclose(dark, gray - 0.2, atol=1e-6)
  color = np.array([[[0.6, 0.5, 0.4]]], np.float32)
  luma = float(color[0, 0] @ [0.299, 0.587, 0.114])
  vivid = develop(settings(saturation=1), color)
  np.testing.assert_allclose(vivid, luma + 2 * (color - luma), atol=1e-5)


def test_more_light_bends_highlights_and_keeps_their_order():
  ramp = np.linspace(0, 1, 64, dtype=np.float32)[:, None] * np.ones(3)
  bright = np.asarray(develop(settings(exposure=1.5), ramp))
  assert bright.max() < 1
  assert np.all(np.diff(bright[:, 0]) > 0)


def test_curves_rise_whatever_is_drawn():
  ramp = np.linspace(0, 1, 64, dtype=np.float32)[:, None] * np.ones(3)
  for lift in (-9, 9):
    for bend in (-9, 9):
      curve = develop(settings(lift=3 * [lift], bend=3 * [bend]), ramp)
      assert np.all(np.diff(np.asarray(curve)[:, 0]) > 0)


def test_settings_add():
  half = add(settings(exposure=1), settings(exposure=2, contrast=1), 0.5)
  assert (float(half.exposure), float(half.contrast)) == (2, 0.5)


@pytest.mark.parametrize("draw", DRAWS)
def test_draws_are_finite_photos(draw, photo):
  keys = jax.random.split(jax.random.key(0), 64)
  images = jax.jit(jax.vmap(lambda key: develop(draw(key), photo)))(keys)
  assert images.shape == (64, *photo.shape)
  assert np.isfinite(images).all()
  assert images.min() >= 0
  assert images.max() <= 1
  assert len(np.unique(np.asarray(images).reshape(64, -1), axis=0)) == 64


def test_an_expert_brightens_and_the_way_back_darkens():
  keys = jax.random.split(jax.random.key(0), 256)
  gray = jnp.full((1, 3), 0.4)
  expert, dull = (
    jax.vmap(lambda key, draw=draw: develop(draw(key), gray).mean())(keys)
    for draw in DRAWS[:2]
  )
  assert expert.mean() > 0.45
  assert dull.mean() < 0.35
