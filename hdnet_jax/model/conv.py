"""The network's three convolutions as Flax modules."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model.conv_ops import conv3x3, down_conv4x4, up_conv4x4


class Convolution(nn.Module):
  """`apply_kernel(x, kernel)` with a learned kernel, of initial stddev 0.02."""

  features: int
  size: int
  apply_kernel: Callable[[Array, Array], Array]
  use_bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Float[Array, "b h w i"]) -> Array:
    kernel = self.param(
      "kernel",
      nn.initializers.normal(stddev=0.02),
      (self.size, self.size, x.shape[-1], self.features),
    )
    y = self.apply_kernel(x.astype(self.dtype), kernel.astype(self.dtype))
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
      y = y + bias.astype(self.dtype)
    return y


Conv3x3 = functools.partial(Convolution, size=3, apply_kernel=conv3x3)
DownConv4x4 = functools.partial(Convolution, size=4, apply_kernel=down_conv4x4)
UpConv4x4 = functools.partial(Convolution, size=4, apply_kernel=up_conv4x4)
