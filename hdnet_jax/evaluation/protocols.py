"""Evaluation protocols: which numbers are computed, of which arrays.

Numbers of this field differ by protocol as much as by model, so every table
and file names the one it was made under.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hdnet_jax import metrics
from hdnet_jax.images import to_pixels

NAMES = ("mse", "psnr", "fmse", "ssim")


def standard(
  harmonized: Float[Array, "b h w 3"],
  composite: UInt8[Array, "b h w 3"],
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> tuple[dict[str, jax.Array], UInt8[Array, "b h w 3"]]:
  """No help from the truth: our headline.

  The network has seen the composite as it is. Its image is rounded and clipped
  to uint8, and compared at the size that the network worked at.

  Args:
    harmonized: the blended output I_h, in [-1, 1].
    composite, real: 0 to 255; mask: 0/1.

  Returns:
    One value an image of `composite_NAME` and `harmonized_NAME` for every
    NAME of NAMES, and of `ratio`, the foreground's share of the pixels; and
    the harmonized image in uint8.
  """
  pixels = to_pixels(harmonized)
  truth, region = real.astype(jnp.float32), mask.astype(jnp.float32)
  values = {"ratio": jnp.mean(region, axis=(1, 2, 3))}
  for name, image in (("composite", composite), ("harmonized", pixels)):
    image = image.astype(jnp.float32)
    values |= {
      f"{name}_mse": metrics.mse(image, truth),
      f"{name}_psnr": metrics.psnr(image, truth),
      f"{name}_fmse": metrics.fmse(image, truth, region),
      f"{name}_ssim": metrics.ssim(image, truth),
    }
  return values, pixels
