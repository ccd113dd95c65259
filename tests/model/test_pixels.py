import jax.numpy as jnp
import numpy as np

from hdnet_jax.model.pixels import normalize, to_pixels


def test_range_and_type():
  image = normalize(jnp.array([0, 51, 255], jnp.uint8))
  assert image.dtype == jnp.float32
  np.testing.assert_allclose(image, [-1, -0.6, 1], atol=1e-7)
  pixels = to_pixels(jnp.array([-1, -0.6, 0.2, 1.0]))
  assert pixels.dtype == jnp.uint8
  np.testing.assert_array_equal(pixels, [0, 51, 153, 255])


def test_all_pixels_come_back():
  pixels = jnp.arange(256, dtype=jnp.uint8)
  np.testing.assert_array_equal(to_pixels(normalize(pixels)), pixels)


def test_rounds_to_the_nearest_pixel():
  values = np.arange(256)
  for shift in (-0.45, 0.45):
    image = jnp.asarray((values + shift) / 127.5 - 1, jnp.float32)
    np.testing.assert_array_equal(to_pixels(image), values)


def test_clips():
  image = jnp.array([-jnp.inf, -9, -1.01, 1.01, 3, jnp.inf])
  np.testing.assert_array_equal(to_pixels(image), [0, 0, 0, 255, 255, 255])


def test_shapes_are_kept():
  assert normalize(jnp.zeros((2, 4, 6, 3), jnp.uint8)).shape == (2, 4, 6, 3)
  assert to_pixels(jnp.zeros((2, 4, 6, 3))).shape == (2, 4, 6, 3)
