"""MGD, mask-aware global dynamics, and its alternatives in Table 3.

MGD predicts two 1x1 kernels from the image's pooled features, one for the
foreground and one for the background, and blends their outputs by the mask
(Section 3.3 of the paper; after the dynamic region-aware convolution of Chen
et al. 2021). Features are [B, H, W, C], masks [B, H, W, 1], 1 = foreground.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model.architecture import HIDDEN, REGIONS

_NORMAL = nn.initializers.normal(stddev=0.02)


class GlobalDynamics(nn.Module):
  """MGD by the given mask, or by one learned from the features (HDNet*).

  The learned mask is where the first of two 1x1-convolved channels is larger;
  its gradient is that of the softmax, as in region-aware convolutions.
  """

  learned_mask: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
  ) -> Float[Array, "b h w c"]:
    kernels = self.predict_kernels(x)
    if self.learned_mask:
      guide = nn.Dense(
        REGIONS, kernel_init=_NORMAL, dtype=self.dtype, name="guide"
      )(x)
      regions = straight_through_argmax(guide)
    else:
      mask = mask.astype(x.dtype)
      regions = jnp.concatenate([mask, 1 - mask], axis=-1)
    # Apply both kernels in one product: its gradients are single products too.
    b, h, w, c = x.shape
    both = jnp.moveaxis(kernels, 3, 1).reshape(b, c, REGIONS * c)
    y = jnp.einsum("bni,bio->bno", x.reshape(b, h * w, c), both)
    y = y.reshape(b, h, w, REGIONS, c)
    return sum(
      (regions[..., r : r + 1] * y[..., r, :] for r in range(REGIONS)),
      start=jnp.zeros((), y.dtype),
    )

  def predict_kernels(self, x: Float[Array, "b h w c"]) -> Array:
    """Predict the two kernels, [B, region, out, in]."""
    channels = x.shape[-1]
    pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))
    hidden = nn.Dense(
      REGIONS * HIDDEN, kernel_init=_NORMAL, dtype=self.dtype, name="squeeze"
    )(pooled)
    hidden = jax.nn.sigmoid(hidden).reshape(-1, REGIONS, HIDDEN)
    # A grouped layer: each region's kernel is predicted from its own inputs.
    size = channels * channels
    weight = self.param("kernel", _NORMAL, (REGIONS, HIDDEN, size))
    bias = self.param("bias", nn.initializers.zeros, (REGIONS, size))
    kernels = jnp.einsum("brk,rks->brs", hidden, weight.astype(self.dtype))
    kernels = kernels + bias.astype(self.dtype)
    return kernels.reshape(-1, REGIONS, channels, channels)


def straight_through_argmax(
  scores: Float[Array, "... r"],
) -> Float[Array, "... r"]:
  """Return the largest score as one-hot, with the gradient of the softmax."""
  soft = jax.nn.softmax(scores)
  hard = jax.nn.one_hot(
    jnp.argmax(scores, axis=-1), scores.shape[-1], dtype=soft.dtype
  )
  return soft + jax.lax.stop_gradient(hard - soft)


class SpatialAttention(nn.Module):
  """RainNet's attention, `sigmoid(conv1x1(x)) * x`: Table 3's +SA."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
  ) -> Float[Array, "b h w c"]:
    del mask  # the attention sees the features only
    gate = nn.Dense(
      x.shape[-1], kernel_init=_NORMAL, dtype=self.dtype, name="gate"
    )(x)
    return jax.nn.sigmoid(gate) * x
