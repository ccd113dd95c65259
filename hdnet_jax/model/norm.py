"""Instance norm, and the region-aware instance norm (RAIN) of the decoder.

Features are [B, H, W, C]; masks are [B, H, W, 1], 1 = foreground. Statistics
are computed in float32 whatever the features' dtype; the result has the
features' dtype.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model import architecture
from hdnet_jax.model.architecture import EPSILON


def instance_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
  """Normalise every channel of every image by its own statistics."""
  wide = x.astype(jnp.float32)
  mean = jnp.mean(wide, axis=(1, 2), keepdims=True)
  variance = jnp.mean(jnp.square(wide - mean), axis=(1, 2), keepdims=True)
  return ((wide - mean) * jax.lax.rsqrt(variance + EPSILON)).astype(x.dtype)


def region_statistics(
  x: Float[Array, "b h w c"], region: Float[Array, "b h w 1"]
) -> tuple[Float[Array, "b 1 1 c"], Float[Array, "b 1 1 c"]]:
  """Compute the mean and standard deviation of `x` inside `region`.

  An empty region has mean 0 and standard deviation sqrt(EPSILON), never NaN.
  """
  count = jnp.sum(region, axis=(1, 2), keepdims=True) + EPSILON
  mean = region_sum(x, region) / count
  variance = region_sum(jnp.square(x - mean), region) / count
  return mean, jnp.sqrt(variance + EPSILON)


@jax.custom_vjp
def region_sum(
  x: Float[Array, "b h w c"], region: Float[Array, "b h w 1"]
) -> Float[Array, "b 1 1 c"]:
  """Sum `x` inside `region`."""
  return jax.lax.platform_dependent(
    x,
    region,
    cpu=_sum_of_rows,
    default=lambda x, region: jnp.sum(x * region, axis=(1, 2), keepdims=True),
  )


def _sum_of_rows(x: Array, region: Array) -> Array:
  # XLA's CPU compiler vectorizes dot products, but not masked sums. A dot adds
  # one number after the other, which rounds less over a row than over an image.
  rows = jnp.einsum("bhw,bhwc->bhc", region[..., 0], x)
  return jnp.sum(rows, axis=1)[:, None, None]


def _region_sum_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, region = residuals
  return region * dy, jnp.sum(x * dy, axis=-1, keepdims=True)


region_sum.defvjp(
  lambda x, region: (region_sum(x, region), (x, region)), _region_sum_backward
)


class RAIN(nn.Module):
  """Region-aware instance norm (Ling et al. 2021), as in the authors' code.

  Each region is normalised by its own statistics; the foreground then gets the
  mean and deviation of the background. Each region has a learned affine map,
  `1 + gamma` and `beta`, which starts at the identity.
  """

  @nn.compact
  def __call__(
    self, x: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
  ) -> Float[Array, "b h w c"]:
    affine = {
      name: self.param(name, nn.initializers.zeros, (x.shape[-1],))
      for name in architecture.RAIN
    }
    wide, region = x.astype(jnp.float32), mask.astype(jnp.float32)
    mean_f, std_f = region_statistics(wide, region)
    mean_b, std_b = region_statistics(wide, 1 - region)

    # Both maps are affine in x: one scale and shift a region and channel.
    gain_f = 1 + affine["foreground_gamma"]
    scale_f = std_b / std_f * gain_f
    shift_f = mean_b * gain_f + affine["foreground_beta"] - mean_f * scale_f
    scale_b = (1 + affine["background_gamma"]) / std_b
    shift_b = affine["background_beta"] - mean_b * scale_b
    scale = region * scale_f + (1 - region) * scale_b
    shift = region * shift_f + (1 - region) * shift_b
    return (wide * scale + shift).astype(x.dtype)
