"""The network's three convolutions, each with one kernel layout, HWIO.

A transposed convolution is stored as the correlation kernel that it applies to
its dilated input, so every kernel of the network reads [height, width, in,
out]; `halve` and `double` are each other's transposes.

CPUs run the same sums in other forms.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model import cpu_convolution, plain_convolution
from hdnet_jax.model.platforms import by_platform

Image = Float[Array, "b h w i"]


@jax.custom_vjp
def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Float[Array, "b h w o"]:
  """3x3, stride 1, padding 1: also a 3x3 transposed one, kernel flipped."""
  return by_platform(cpu_convolution.same, plain_convolution.same, x, kernel)


@jax.custom_vjp
def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1: [B, H, W, I] to [B, H/2, W/2, O]."""
  return by_platform(cpu_convolution.halve, plain_convolution.halve, x, kernel)


@jax.custom_vjp
def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1, transposed: [B, H, W, I] to [B, 2H, 2W, O]."""
  return by_platform(
    cpu_convolution.double, plain_convolution.double, x, kernel
  )


def _differentiate(form: Callable, cpu: Callable, plain: Callable) -> None:
  """Gives `form` its gradient, by platform as well."""

  def backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
    return by_platform(cpu, plain, residuals, dy)

  form.defvjp(lambda x, kernel: (form(x, kernel), (x, kernel)), backward)


_differentiate(
  same, cpu_convolution.same_backward, plain_convolution.same_backward
)
_differentiate(
  halve, cpu_convolution.halve_backward, plain_convolution.halve_backward
)
_differentiate(
  double, cpu_convolution.double_backward, plain_convolution.double_backward
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
