"""The network's convolutions as functions of image and kernel.

Images are [B, H, W, C], kernels [height, width, in, out]. A transposed
convolution takes the kernel with which it correlates its dilated input: the
transpose of `down_conv4x4` by `kernel` is `up_conv4x4` by `transposed(kernel)`.

On CPUs, the `cpu_` forms compute the same sums faster than XLA's own code, some
several times (`benchmarks/convolutions.py` times both):

- A transposed convolution is a stride-1 one and a depth-to-space move.
- A 3x3 convolution to few channels computes several pixels at a time.
- A kernel's gradient is a matrix product with shifted copies, of at most two
  images at a time so that the copies stay small.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Image = Float[Array, "b h w c"]
Kernel = Float[Array, "u v i o"]
Gradients = Callable[[Array, Array, Array], tuple[Array, Array]]

RUN = 8  # pixels computed at once, if output channels are at most as many


def by_platform(cpu: Callable, default: Callable, *arguments: Any) -> Any:
  """Call `cpu` in a CPU's program and `default` in others.

  JAX chooses when it lowers the program: a CPU may export for TPUs. Both are
  traced, so their outputs need equal shapes and dtypes. Give the result a
  gradient of its own: JAX's keeps the intermediate values of both.
  """
  return jax.lax.platform_dependent(*arguments, cpu=cpu, default=default)


def differentiated_by(gradients: Gradients) -> Callable[[Callable], Callable]:
  """Make a decorator that sets a function's `gradients(x, kernel, dy)`."""

  def decorate(function: Callable) -> Callable:
    function = jax.custom_vjp(function)
    function.defvjp(
      lambda x, kernel: (function(x, kernel), (x, kernel)),
      lambda residuals, dy: gradients(residuals[0], residuals[1], dy),
    )
    return function

  return decorate


def convolve(
  x: Image,
  kernel: Kernel,
  stride: tuple[int, int] = (1, 1),
  padding: int = 1,
  dilation: int = 1,
) -> Array:
  """Correlate `x`, dilated and then padded, with `kernel`."""
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    stride,
    ((padding, padding), (padding, padding)),
    lhs_dilation=(dilation, dilation),
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


def transposed(kernel: Kernel) -> Float[Array, "u v o i"]:
  """Return the kernel of the transposed convolution."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def plain_conv3x3(x: Image, kernel: Kernel) -> Array:
  return convolve(x, kernel)


def plain_down_conv4x4(x: Image, kernel: Kernel) -> Array:
  return convolve(x, kernel, stride=(2, 2))


def _kernel_gradient(
  function: Callable, x: Image, kernel: Kernel, dy: Array
) -> Array:
  transpose = jax.linear_transpose(lambda kernel: function(x, kernel), kernel)
  return transpose(dy)[0]


def _linear_gradients(function: Callable) -> Gradients:
  """Return the gradients of a function that is linear in either argument."""

  def gradients(x: Image, kernel: Kernel, dy: Array) -> tuple[Array, Array]:
    (dx,) = jax.linear_transpose(lambda x: function(x, kernel), x)(dy)
    return dx, _kernel_gradient(function, x, kernel, dy)

  return gradients


def _plain_up_gradients(
  x: Image, kernel: Kernel, dy: Array
) -> tuple[Array, Array]:
  # <dy, up(x, kernel)> is <down(dy, transposed(kernel)), x>; differentiate it.
  # cuDNN has a kernel for the gradient of a strided convolution, but none for a
  # dilated one, whose gradient took half of a step of HDNet-lite.
  kernel = transposed(kernel)
  gradient = _kernel_gradient(plain_down_conv4x4, dy, kernel, x)
  return plain_down_conv4x4(dy, kernel), transposed(gradient)


@differentiated_by(_plain_up_gradients)
def plain_up_conv4x4(x: Image, kernel: Kernel) -> Array:
  return convolve(x, kernel, padding=2, dilation=2)


def _cpu_conv3x3_gradients(
  x: Image, kernel: Kernel, dy: Array
) -> tuple[Array, Array]:
  dx = plain_conv3x3(dy, transposed(kernel))
  # Copy the array with fewer channels.
  if x.shape[-1] <= dy.shape[-1]:
    gradient = _sum_of_products(_shifts, x, dy)
  else:
    gradient = transposed(_sum_of_products(_shifts, dy, x))
  return dx, gradient.astype(kernel.dtype)


@differentiated_by(_cpu_conv3x3_gradients)
def cpu_conv3x3(x: Image, kernel: Kernel) -> Array:
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  if o > RUN or w % RUN:
    return plain_conv3x3(x, kernel)
  # Compute RUN pixels a step, so that few channels fill the CPU's vectors: the
  # kernel of pixel r lies r columns further on.
  shifted = [
    jnp.pad(kernel, ((0, 0), (r, RUN - 1 - r), (0, 0), (0, 0)))
    for r in range(RUN)
  ]
  kernel = jnp.stack(shifted, axis=3).reshape(3, RUN + 2, i, RUN * o)
  y = convolve(x, kernel, stride=(1, RUN), padding=1)
  return y.reshape(b, h, w, o)


def _cpu_down_gradients(
  x: Image, kernel: Kernel, dy: Array
) -> tuple[Array, Array]:
  dx = cpu_up_conv4x4(dy, transposed(kernel))
  return dx, _sum_of_products(_strides, x, dy).astype(kernel.dtype)


@differentiated_by(_cpu_down_gradients)
def cpu_down_conv4x4(x: Image, kernel: Kernel) -> Array:
  return plain_down_conv4x4(x, kernel)


def _cpu_up_gradients(
  x: Image, kernel: Kernel, dy: Array
) -> tuple[Array, Array]:
  dx = plain_down_conv4x4(dy, transposed(kernel))
  gradient = transposed(_sum_of_products(_strides, dy, x))
  return dx, gradient.astype(kernel.dtype)


@differentiated_by(_cpu_up_gradients)
def cpu_up_conv4x4(x: Image, kernel: Kernel) -> Array:
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  # Output 2y + p sees inputs y + p - 1 and y + p, through taps p and 2 + p.
  kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 4, 1, 3, 5)
  y = convolve(x, kernel.reshape(2, 2, i, 4 * o), padding=1)
  y = y.reshape(b, h + 1, w + 1, 2, 2, o)
  rows = [
    jnp.stack([y[:, p : p + h, q : q + w, p, q] for q in (0, 1)], axis=3)
    for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, o)


def _sum_of_products(
  copies: Callable[[Array], Array], x: Image, dy: Array
) -> Float[Array, "s t i o"]:
  """Sum every shifted copy of `x` times `dy` over all positions, in float32."""
  images = 2 - x.shape[0] % 2

  def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
    x, dy = pair
    shifted = copies(jnp.moveaxis(x, 3, 0))
    product = jnp.dot(
      shifted.reshape(-1, dy[..., 0].size),
      dy.reshape(-1, dy.shape[-1]),
      preferred_element_type=jnp.float32,
    )
    return total + product.reshape(*shifted.shape[:3], -1), None

  x, dy = (z.reshape(-1, images, *z.shape[1:]) for z in (x, dy))
  shape = jax.eval_shape(copies, jnp.moveaxis(x[0], 3, 0)).shape[:3]
  total = jnp.zeros((*shape, dy.shape[-1]), jnp.float32)
  return jax.lax.scan(add, total, (x, dy))[0]


def _shifts(x: Float[Array, "c b h w"]) -> Float[Array, "3 3 c b h w"]:
  """Return what each tap of a 3x3 kernel sees."""
  h, w = x.shape[2:]
  x = _padded(x)
  return _taps(3, lambda u, v: x[:, :, u : u + h, v : v + w])


def _strides(x: Float[Array, "c b h w"]) -> Array:
  """Return what each tap of a 4x4 kernel of stride 2 sees.

  The shape is [4, 4, C, B, H/2, W/2].
  """
  c, b, h, w = x.shape
  h, w = h // 2, w // 2
  x = _padded(x).reshape(c, b, h + 1, 2, w + 1, 2)
  x = jax.lax.optimization_barrier(x.transpose(3, 5, 0, 1, 2, 4))

  def seen(u: int, v: int) -> Array:
    return x[u % 2, v % 2, :, :, u // 2 : u // 2 + h, v // 2 : v // 2 + w]

  return _taps(4, seen)


def _taps(size: int, seen: Callable[[int, int], Array]) -> Array:
  rows = [jnp.stack([seen(u, v) for v in range(size)]) for u in range(size)]
  return jnp.stack(rows)


def _padded(x: Float[Array, "c b h w"]) -> Array:
  x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
  # Without the barrier, XLA would move the channels again for every copy.
  return jax.lax.optimization_barrier(x)


def _chosen_by_platform(
  cpu: Callable,
  plain: Callable,
  cpu_gradients: Gradients,
  plain_gradients: Gradients,
) -> Callable[[Image, Kernel], Array]:
  @differentiated_by(
    lambda *arguments: by_platform(cpu_gradients, plain_gradients, *arguments)
  )
  def function(x: Image, kernel: Kernel) -> Array:
    return by_platform(cpu, plain, x, kernel)

  return function


# 3x3, stride 1, padding 1. A transposed convolution is this one with the kernel
# flipped.
conv3x3 = _chosen_by_platform(
  cpu_conv3x3,
  plain_conv3x3,
  _cpu_conv3x3_gradients,
  _linear_gradients(plain_conv3x3),
)
# 4x4, stride 2, padding 1: [B, H, W, I] to [B, H/2, W/2, O].
down_conv4x4 = _chosen_by_platform(
  cpu_down_conv4x4,
  plain_down_conv4x4,
  _cpu_down_gradients,
  _linear_gradients(plain_down_conv4x4),
)
# The transposed one: [B, H, W, I] to [B, 2H, 2W, O].
up_conv4x4 = _chosen_by_platform(
  cpu_up_conv4x4, plain_up_conv4x4, _cpu_up_gradients, _plain_up_gradients
)
