"""Between uint8 pixels and the network's [-1, 1], on the device."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def normalize(pixels: UInt8[Array, "..."]) -> Float[Array, "..."]:
  """Convert uint8, 0 to 255, to float32, -1 to 1."""
  return pixels.astype(jnp.float32) / 127.5 - 1


def to_pixels(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
  """Convert float, -1 to 1, to uint8, 0 to 255: round and clip."""
  return jnp.round(jnp.clip(image + 1, 0, 2) * 127.5).astype(jnp.uint8)
