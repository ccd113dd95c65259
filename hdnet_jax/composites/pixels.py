"""What the changes of colour share: the types of one image, its statistics."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Photo = Float[Array, "h w 3"]
Mask = Float[Array, "h w 1"]

MIN_PIXELS = 16  # of an object whose statistics mean anything
MAX_RATIO = 2.5  # of deviations, either way, by a transfer
# A factor f on linear light is f ** (1 / 2.2) on pixels.
DISPLAY_GAMMA = 2.2
# NumPy, so that importing this module does not start JAX's devices.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601


def mix(
  x: Float[Array, "*s 3"], matrix: Float[Array | np.ndarray, "o 3"]
) -> Float[Array, "*s o"]:
  """Every pixel times `matrix`; a dot of 3 by 3 is ten times slower."""
  return sum(x[..., i : i + 1] * matrix[:, i] for i in range(3))


def mean_and_deviation(x: Photo, mask: Mask) -> tuple[Array, Array]:
  """Of each channel inside the mask, [3] and [3]; finite for no pixels."""
  count = jnp.maximum(jnp.sum(mask), 1)
  mean = jnp.sum(x * mask, axis=(0, 1)) / count
  variance = jnp.sum(jnp.square(x - mean) * mask, axis=(0, 1)) / count
  return mean, jnp.sqrt(variance + 1e-6)


def where_large(
  changed: Photo, photo: Photo, mask: Mask, donor_mask: Mask
) -> Photo:
  """`changed` in [0, 1], or `photo` where either object is too small."""
  sizes = jnp.minimum(jnp.sum(mask), jnp.sum(donor_mask))
  return jnp.where(sizes >= MIN_PIXELS, jnp.clip(changed, 0, 1), photo)
