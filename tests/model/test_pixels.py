import jax.numpy as jnp
import numpy as np

from hdnet_jax.model.pixels import normalize, to_pixels


def test_range_and_type():
  image = normalize(jnp.array([0, 51, 255], jnp.uint8))
  assert image.dtype == jnp.float32
  np.testing.assert_allclose(image, [-1, -0.6, 1], atol=1e-7)
  pixels = jnp.arange(256, dtype=jnp.uint8)
  np.testing.assert_array_equal(to_pixels(normalize(pixels)), pixels)


def test_floats_are_rounded_and_clipped():
  values = np.arange(256)
  for shift in (-0.45, 0.45):
    image = jnp.asarray((values + shift) / 127.5 - 1, jnp.float32)
    pixels = to_pixels(image)
    assert pixels.dtype == jnp.uint8
    np.testing.assert_array_equal(pixels, values)
  image = jnp.array([-jnp.inf, -9, -1.01, 1.01, 3, jnp.inf])
  np.testing.assert_array_equal(to_pixels(image), [0, 0, 0, 255, 255, 255])
