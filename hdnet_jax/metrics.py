"""Image metrics, one value an image, jittable; images NHWC in [0, 255].

Equal to scikit-image's on the same arrays. Which arrays they are given
(rounding, background) is a matter of the protocol: `evaluation.protocols`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "b h w 3"]
PEAK = 255.0
_WINDOW = 7


def mse(image: Image, truth: Image) -> Float[Array, "b"]:
  """Mean squared error over all pixels and channels."""
  return jnp.mean(jnp.square(image - truth), axis=(1, 2, 3))


def psnr(image: Image, truth: Image) -> Float[Array, "b"]:
  """Peak signal-to-noise ratio in dB, peak 255; inf for equal images."""
  return 10 * jnp.log10(PEAK**2 / mse(image, truth))


def fmse(
  image: Image, truth: Image, mask: Float[Array, "b h w 1"]
) -> Float[Array, "b"]:
  """Mean squared error over the foreground: sum(M d^2) / (3 sum(M)).

  0 for an empty mask, which has no foreground to be wrong.
  """
  squared = jnp.sum(mask * jnp.square(image - truth), axis=(1, 2, 3))
  return squared / (3 * jnp.maximum(jnp.sum(mask, axis=(1, 2, 3)), 1))


def ssim(image: Image, truth: Image) -> Float[Array, "b"]:
  """Structural similarity as scikit-image's default.

  7x7 uniform window, sample covariance, K1 = 0.01, K2 = 0.03, data range 255,
  mean over the windows inside the image and over channels. Height and width
  are 7 or more.
  """
  # Centring leaves variances as they are and keeps float32 from cancelling.
  center = PEAK / 2
  x, y = image - center, truth - center
  mean_x, mean_y = _window_mean(x), _window_mean(y)
  pixels = _WINDOW**2
  sample = pixels / (pixels - 1)
  var_x = sample * (_window_mean(x * x) - mean_x**2)
  var_y = sample * (_window_mean(y * y) - mean_y**2)
  covariance = sample * (_window_mean(x * y) - mean_x * mean_y)
  mean_x, mean_y = mean_x + center, mean_y + center
  c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
  luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
  structure = (2 * covariance + c2) / (var_x + var_y + c2)
  return jnp.mean(luminance * structure, axis=(1, 2, 3))


def _window_mean(x: Array) -> Array:
  """Mean over each 7x7 window that lies inside the image."""
  for window in ((1, _WINDOW, 1, 1), (1, 1, _WINDOW, 1)):
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, window, (1,) * 4, "VALID")
  return x / _WINDOW**2
