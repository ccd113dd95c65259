"""What the changes of colour share."""

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
  """Multiply every pixel by `matrix`; a 3x3 dot is ten times slower."""
  return sum(x[..., i : i + 1] * matrix[:, i] for i in range(3))


def where_large(
  changed: Photo, photo: Photo, mask: Mask, donor_mask: Mask
) -> Photo:
  """Return `changed`, clipped; `photo` if either object is too small."""
  sizes = jnp.minimum(jnp.sum(mask), jnp.sum(donor_mask))
  return jnp.where(sizes >= MIN_PIXELS, jnp.clip(changed, 0, 1), photo)
