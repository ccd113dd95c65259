"""The training loss (Eq. 1) of each image; images in [-1, 1], NHWC."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def foreground_loss(
  harmonized: Float[Array, "b h w 3"],
  real: Float[Array, "b h w 3"],
  mask: Float[Array, "b h w 1"],
  min_area: float = 100.0,
  root: bool = False,
) -> Float[Array, "b"]:
  """Return the foreground-normalised squared error, as the authors' code.

  `sum((I_h - I)^2) / (3 * max(A_min, area))`. The printed equation has a norm
  without the square and no channel factor.

  Args:
    harmonized: the blended image I_h: equal to the composite outside the mask.
    real: the truth I.
    mask: 1 = foreground.
    min_area: A_min in pixels; keeps small objects from dominating a batch.
    root: take the square root, so that large errors weigh less. That is close
      to the norm of the printed equation.
  """
  squared = jnp.sum(jnp.square(harmonized - real), axis=(1, 2, 3))
  area = jnp.sum(mask, axis=(1, 2, 3))
  loss = squared / (3 * jnp.maximum(area, min_area))
  # 2 / 255 is one pixel level; it keeps the root's gradient finite at 0.
  return jnp.sqrt(loss + (2 / 255) ** 2) if root else loss
