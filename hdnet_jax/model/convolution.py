"""The network's three convolutions, each with one kernel layout, HWIO.

A transposed convolution is stored as the correlation kernel that it applies to
its dilated input, so every kernel of the network reads [height, width, in,
out]; `halve` and `double` are each other's transposes.

CPUs run the same sums in other forms. The choice is made when a function is
traced.
"""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model import cpu_convolution, plain_convolution

Image = Float[Array, "b h w i"]


def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Float[Array, "b h w o"]:
  """3x3, stride 1, padding 1: also a 3x3 transposed one, kernel flipped."""
  return forms().same(x, kernel)


def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1: [B, H, W, I] to [B, H/2, W/2, O]."""
  return forms().halve(x, kernel)


def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1, transposed: [B, H, W, I] to [B, 2H, 2W, O]."""
  return forms().double(x, kernel)


def forms() -> ModuleType:
  return (
    cpu_convolution if jax.default_backend() == "cpu" else plain_convolution
  )


class Convolution(nn.Module):
  """`apply(x, kernel)` with a learned kernel that starts at N(0, 0.02)."""

  features: int
  size: int
  apply_kernel: Callable[[Array, Array], Array]
  use_bias: bool = False
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Image) -> Array:
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


Same = functools.partial(Convolution, size=3, apply_kernel=same)
Halve = functools.partial(Convolution, size=4, apply_kernel=halve)
Double = functools.partial(Convolution, size=4, apply_kernel=double)
