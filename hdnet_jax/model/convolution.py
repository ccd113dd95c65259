"""The network's three convolutions, each with one kernel layout, HWIO.

A transposed convolution is stored as the correlation kernel that it applies to
its dilated input, so every kernel of the network reads [height, width, in,
out].

On CPUs the transposed convolution runs as a stride-1 convolution followed by a
depth-to-space move: the same sums, but XLA's CPU gradient of a dilated
convolution is ten times slower (`benchmarks/convolutions.py`). Accelerators
keep the plain form. The choice is made when a function is traced.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

Image = Float[Array, "b h w i"]


def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Float[Array, "b h w o"]:
  """3x3, stride 1, padding 1: also a 3x3 transposed one, kernel flipped."""
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  )


def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1: [B, H, W, I] to [B, H/2, W/2, O]."""
  return jax.lax.conv_general_dilated(
    x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  )


def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1, transposed: [B, H, W, I] to [B, 2H, 2W, O]."""
  if jax.default_backend() == "cpu":
    return double_by_depth_to_space(x, kernel)
  return double_by_dilation(x, kernel)


def double_by_dilation(x: Image, kernel: Array) -> Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    ((2, 2), (2, 2)),
    lhs_dilation=(2, 2),
    dimension_numbers=_DIMENSIONS,
  )


def double_by_depth_to_space(x: Image, kernel: Array) -> Array:
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  # Output 2y + p sees inputs y + p - 1 and y + p, through taps p and 2 + p.
  kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 4, 1, 3, 5)
  kernel = kernel.reshape(2, 2, i, 4 * o)
  # Padded here and not by the convolution, whose gradient is slow with more
  # windows than input.
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  y = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "VALID", dimension_numbers=_DIMENSIONS
  ).reshape(b, h + 1, w + 1, 2, 2, o)
  rows = [
    jnp.stack([y[:, p : p + h, q : q + w, p, q] for q in (0, 1)], axis=3)
    for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, o)


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
