"""The network's convolutions in forms that are fast on CPUs.

The same sums as `plain_convolution`'s, whose code from XLA is several times
slower there (`benchmarks/convolutions.py` times both):

- A transposed convolution is a stride-1 one and a depth-to-space move.
- A 3x3 convolution to few channels makes several pixels at a time.
- A kernel's gradient is a matrix product with shifted copies, of two images at
  a time so that the copies stay small.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.model import plain_convolution
from hdnet_jax.model.plain_convolution import Image, convolve, transposed

RUN = 8  # pixels of a row made at once, and channels at most


@jax.custom_vjp
def same(x: Image, kernel: Float[Array, "3 3 i o"]) -> Array:
  if kernel.shape[-1] <= RUN and x.shape[2] % RUN == 0:
    return _runs(x, kernel)
  return plain_convolution.same(x, kernel)


def same_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  dx = plain_convolution.same(dy, transposed(kernel))
  # The one with fewer channels is copied.
  if x.shape[-1] <= dy.shape[-1]:
    return dx, _gradient(_shifts, x, dy).astype(kernel.dtype)
  gradient = transposed(_gradient(_shifts, dy, x))
  return dx, gradient.astype(kernel.dtype)


@jax.custom_vjp
def halve(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  return plain_convolution.halve(x, kernel)


def halve_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  dx = double(dy, transposed(kernel))
  return dx, _gradient(_strides, x, dy).astype(kernel.dtype)


@jax.custom_vjp
def double(x: Image, kernel: Float[Array, "4 4 i o"]) -> Array:
  b, h, w, i = x.shape
  o = kernel.shape[-1]
  # Output 2y + p sees inputs y + p - 1 and y + p, through taps p and 2 + p.
  kernel = kernel.reshape(2, 2, 2, 2, i, o).transpose(0, 2, 4, 1, 3, 5)
  kernel = kernel.reshape(2, 2, i, 4 * o)
  y = convolve(x, kernel, padding=1)
  y = y.reshape(b, h + 1, w + 1, 2, 2, o)
  rows = [
    jnp.stack([y[:, p : p + h, q : q + w, p, q] for q in (0, 1)], axis=3)
    for p in (0, 1)
  ]
  return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, o)


def double_backward(residuals: tuple, dy: Array) -> tuple[Array, Array]:
  x, kernel = residuals
  dx = plain_convolution.halve(dy, transposed(kernel))
  # <dy, double(x, kernel)> is <halve(dy, its transpose), x>.
  gradient = transposed(_gradient(_strides, dy, x))
  return dx, gradient.astype(kernel.dtype)


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
  y = convolve(x, kernel, stride=(1, RUN), padding=1)
  return y.reshape(b, h, w, o)


def _gradient(
  copies: Callable[[Array], Array], x: Image, dy: Array
) -> Float[Array, "s t i o"]:
  """Sums over all positions of every shift of `x` times `dy`, float32."""
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
  total, _ = jax.lax.scan(add, total, (x, dy))
  return total


def _shifts(x: Float[Array, "c b h w"]) -> Float[Array, "3 3 c b h w"]:
  """What each tap of a 3x3 kernel sees."""
  _, _, h, w = x.shape
  x = _padded(x)
  return jnp.stack(
    [
      jnp.stack([x[:, :, u : u + h, v : v + w] for v in range(3)])
      for u in range(3)
    ]
  )


def _strides(x: Float[Array, "c b h w"]) -> Array:
  """What each tap of a 4x4 kernel of stride 2 sees, [4, 4, C, B, H/2, W/2]."""
  c, b, h, w = x.shape
  h, w = h // 2, w // 2
  x = _padded(x).reshape(c, b, h + 1, 2, w + 1, 2)
  x = jax.lax.optimization_barrier(x.transpose(3, 5, 0, 1, 2, 4))
  return jnp.stack(
    [
      jnp.stack(
        [
          x[u % 2, v % 2, :, :, u // 2 : u // 2 + h, v // 2 : v // 2 + w]
          for v in range(4)
        ]
      )
      for u in range(4)
    ]
  )


def _padded(x: Float[Array, "c b h w"]) -> Array:
  x = jnp.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
  # Without it every copy would move the channels again.
  return jax.lax.optimization_barrier(x)


for _form, _backward in (
  (same, same_backward),
  (halve, halve_backward),
  (double, double_backward),
):
  _form.defvjp(
    lambda x, kernel, form=_form: (form(x, kernel), (x, kernel)), _backward
  )
