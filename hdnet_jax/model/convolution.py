"""The network's three convolutions, each with one kernel layout, HWIO.

A transposed convolution is stored as the correlation kernel that it applies to
its dilated input, so every kernel of the network reads [height, width, in,
out]; `halve` and `double` are each other's transposes.

CPUs run the same sums in other forms, chosen when a function is traced, where
XLA's own are several times slower: the transposed convolution as a stride-1
convolution and a depth-to-space move, a 3x3 convolution to few channels many
pixels at a time, and gradients as convolutions of those forms. Accelerators
keep the plain ones. `benchmarks/convolutions.py` times all.
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

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")

RUN = 8  # pixels of a row made at once, and channels at most

Image = Float[Array, "b h w i"]


def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Float[Array, "b h w o"]:
  """3x3, stride 1, padding 1: also a 3x3 transposed one, kernel flipped."""
  few = kernel.shape[-1] <= RUN and x.shape[2] % RUN == 0
  if few and jax.default_backend() == "cpu":
    return same_by_runs(x, kernel)
  return same_by_pixels(x, kernel)


def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1: [B, H, W, I] to [B, H/2, W/2, O]."""
  if jax.default_backend() == "cpu":
    return halve_with_fast_gradient(x, kernel)
  return halve_by_stride(x, kernel)


def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  """4x4, stride 2, padding 1, transposed: [B, H, W, I] to [B, 2H, 2W, O]."""
  if jax.default_backend() == "cpu":
    return double_by_depth_to_space(x, kernel)
  return double_by_dilation(x, kernel)


def same_by_pixels(x: Image, kernel: Array) -> Array:
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  )


def halve_by_stride(x: Image, kernel: Array) -> Array:
  return jax.lax.conv_general_dilated(
    x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  )


def double_by_dilation(x: Image, kernel: Array) -> Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    ((2, 2), (2, 2)),
    lhs_dilation=(2, 2),
    dimension_numbers=_DIMENSIONS,
  )


@jax.custom_vjp
def same_by_runs(x: Image, kernel: Array) -> Array:
  return _runs(x, kernel)


def _runs(x: Image, kernel: Array) -> Array:
  """RUN pixels a step, so that few channels fill the CPU's vectors."""
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  # Pixel r of a run has the kernel r columns further on.
  shifted = [
    jnp.pad(kernel, ((0, 0), (r, RUN - 1 - r), (0, 0), (0, 0)))
    for r in range(RUN)
  ]
  kernel = jnp.stack(shifted, axis=3).reshape(3, RUN + 2, i, RUN * o)
  y = jax.lax.conv_general_dilated(
    x, kernel, (1, RUN), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  )
  return y.reshape(b, h, w, o)


def _runs_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  dx = same_by_pixels(dy, transposed(kernel))
  return dx, kernel_gradient(_runs, x, kernel, dy)


@jax.custom_vjp
def halve_with_fast_gradient(x: Image, kernel: Array) -> Array:
  return halve_by_stride(x, kernel)


def _halve_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  dx = double_by_depth_to_space(dy, transposed(kernel))
  return dx, kernel_gradient(halve_by_stride, x, kernel, dy)


@jax.custom_vjp
def double_by_depth_to_space(x: Image, kernel: Array) -> Array:
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  # Output 2y + p sees inputs y + p - 1 and y + p, through taps p and 2 + p.
  kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 4, 1, 3, 5)
  kernel = kernel.reshape(2, 2, i, 4 * o)
  y = jax.lax.conv_general_dilated(
    x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_DIMENSIONS
  ).reshape(b, h + 1, w + 1, 2, 2, o)
  rows = [
    jnp.stack([y[:, p : p + h, q : q + w, p, q] for q in (0, 1)], axis=3)
    for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, o)


def _double_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  kernel = transposed(kernel)
  dx = halve_by_stride(dy, kernel)
  # <dy, double(x, kernel)> is <halve(dy, its transpose), x>.
  return dx, transposed(kernel_gradient(halve_by_stride, dy, kernel, x))


def transposed(kernel: Float[Array, "h w i o"]) -> Float[Array, "h w o i"]:
  """The kernel of the transposed convolution."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def kernel_gradient(
  form: Callable[[Array, Array], Array], x: Image, kernel: Array, dy: Array
) -> Array:
  (gradient,) = jax.linear_transpose(lambda kernel: form(x, kernel), kernel)(dy)
  return gradient


for _form, _backward in (
  (same_by_runs, _runs_backward),
  (halve_with_fast_gradient, _halve_backward),
  (double_by_depth_to_space, _double_backward),
):
  _form.defvjp(
    lambda x, kernel, form=_form: (form(x, kernel), (x, kernel)), _backward
  )


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
