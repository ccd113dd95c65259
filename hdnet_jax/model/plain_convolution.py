"""The network's convolutions as XLA has them: NHWC images, HWIO kernels."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "b h w c"]


def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Array:
  return convolve(x, kernel)


def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  return convolve(x, kernel, stride=(2, 2))


@jax.custom_vjp
def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  return convolve(x, kernel, padding=2, dilation=2)


def same_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  return _transpose(same, *residuals, dy)


def halve_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  return _transpose(halve, *residuals, dy)


def double_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  # <dy, double(x, kernel)> is <halve(dy, its transpose), x>: cuDNN has a kernel
  # for the gradient of a strided convolution, and none for a dilated one's,
  # which took half of a step of HDNet-lite.
  gradient = jax.linear_transpose(
    functools.partial(halve, dy), transposed(kernel)
  )
  return halve(dy, transposed(kernel)), transposed(*gradient(x))


double.defvjp(
  lambda x, kernel: (double(x, kernel), (x, kernel)), double_backward
)


def _transpose(
  form: Callable[[Array, Array], Array], x: Array, kernel: Array, dy: Array
) -> tuple[Array, Array]:
  """The gradients of a form that is linear in either argument."""
  (dx,) = jax.linear_transpose(lambda x: form(x, kernel), x)(dy)
  (gradient,) = jax.linear_transpose(lambda kernel: form(x, kernel), kernel)(dy)
  return dx, gradient


def convolve(
  x: Image,
  kernel: Float[Array, "u v i o"],
  stride: tuple[int, int] = (1, 1),
  padding: int = 1,
  dilation: int = 1,
) -> Array:
  """A correlation; `dilation` is the input's, and pads after it."""
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    stride,
    ((padding, padding), (padding, padding)),
    lhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def transposed(kernel: Float[Array, "u v i o"]) -> Float[Array, "u v o i"]:
  """The kernel of the transposed convolution: of `double` for `halve`."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)
