"""Instance norm, and the region-aware instance norm (RAIN) of the decoder.

Features are [B, H, W, C]; masks are [B, H, W, 1], 1 = foreground. Statistics
are computed in float32 whatever the features' dtype; the result has the
features' dtype.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

EPSILON = 1e-5


def instance_norm(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
  """Normalises every channel of every image; no affine, biased variance."""
  wide = x.astype(jnp.float32)
  mean = jnp.mean(wide, axis=(1, 2), keepdims=True)
  variance = jnp.mean(jnp.square(wide - mean), axis=(1, 2), keepdims=True)
  return ((wide - mean) * jax.lax.rsqrt(variance + EPSILON)).astype(x.dtype)


def region_statistics(
  x: Float[Array, "b h w c"], regions: Float[Array, "b h w r"]
) -> tuple[Float[Array, "b r c"], Float[Array, "b r c"]]:
  """Mean and standard deviation of `x` inside every region.

  Regions are 0/1 and cover the image without overlap. An empty one has mean 0
  and standard deviation sqrt(EPSILON), never NaN.
  """
  count = jnp.sum(regions, axis=(1, 2))[..., None] + EPSILON
  mean = region_sums(x, regions) / count
  deviation = x - spread(mean, regions)
  variance = region_sums(jnp.square(deviation), regions) / count
  return mean, jnp.sqrt(variance + EPSILON)


def region_sums(
  x: Float[Array, "b h w c"], regions: Float[Array, "b h w r"]
) -> Float[Array, "b r c"]:
  if jax.default_backend() == "cpu":
    # XLA's CPU sums of masked products are not vectorized; its dots are.
    return jnp.einsum("bhwr,bhwc->brc", regions, x)
  return jnp.stack(
    [
      jnp.sum(x * regions[..., r : r + 1], axis=(1, 2))
      for r in range(regions.shape[-1])
    ],
    axis=1,
  )


def spread(
  values: Float[Array, "b r c"], regions: Float[Array, "b h w r"]
) -> Float[Array, "b h w c"]:
  """Every position gets its region's values."""
  values = values[:, :, None, None]
  return sum(
    regions[..., r : r + 1] * values[:, r] for r in range(regions.shape[-1])
  )


class RAIN(nn.Module):
  """Region-aware instance norm (Ling et al. 2021), as in the authors' code.

  The background is normalised by its own statistics. The foreground is
  normalised by its own and given the background's: this carries the "style" of
  the background into the object. Each region then has its own affine map,
  `1 + gamma` and `beta`, which start at the identity.
  """

  @nn.compact
  def __call__(
    self, x: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
  ) -> Float[Array, "b h w c"]:
    affine = {
      name: self.param(name, nn.initializers.zeros, (x.shape[-1],))
      for name in (
        "foreground_gamma",
        "foreground_beta",
        "background_gamma",
        "background_beta",
      )
    }
    wide, region = x.astype(jnp.float32), mask.astype(jnp.float32)
    regions = jnp.concatenate([region, 1 - region], axis=-1)
    mean, std = region_statistics(wide, regions)

    # Both maps are affine in x, so each region has one scale and one shift a
    # channel, and x is passed over once.
    gain_f = 1 + affine["foreground_gamma"]
    scale_f = std[:, 1] / std[:, 0] * gain_f
    shift_f = mean[:, 1] * gain_f + affine["foreground_beta"]
    scale_b = (1 + affine["background_gamma"]) / std[:, 1]
    scale = jnp.stack([scale_f, scale_b], axis=1)
    shift = (
      jnp.stack(
        [shift_f, jnp.broadcast_to(affine["background_beta"], shift_f.shape)],
        axis=1,
      )
      - mean * scale
    )
    y = wide * spread(scale, regions) + spread(shift, regions)
    return y.astype(x.dtype)
