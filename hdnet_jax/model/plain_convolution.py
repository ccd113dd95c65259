"""The network's convolutions as XLA has them: NHWC images, HWIO kernels."""

import functools

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


def _double_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  # <dy, double(x, kernel)> is <halve(dy, its transpose), x>: cuDNN has a kernel
  # for the gradient of a strided convolution, and none for a dilated one's,
  # which took half of a step of HDNet-lite.
  dx, pull = jax.vjp(functools.partial(halve, dy), transposed(kernel))
  return dx, transposed(*pull(x))


double.defvjp(
  lambda x, kernel: (double(x, kernel), (x, kernel)), _double_backward
)


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
