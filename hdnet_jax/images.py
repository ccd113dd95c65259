"""Between uint8 pixels and the network's [-1, 1], on the device."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def normalize(pixels: UInt8[Array, "..."]) -> Float[Array, "..."]:
  """uint8 0 to 255 as float32 -1 to 1."""
  return pixels.astype(jnp.float32) / 127.5 - 1


def to_pixels(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
  """Float -1 to 1 as uint8 0 to 255: rounded, clipped."""
  return jnp.round(jnp.clip(image + 1, 0, 2) * 127.5).astype(jnp.uint8)


def halve(pixels: UInt8[Array, "b h w c"]) -> UInt8[Array, "b h/2 w/2 c"]:
  """Every 2x2 block's mean, rounded; h and w are even.

  Of a 0/1 mask this is 1 where three of the four pixels or all are.
  """
  b, h, w, c = pixels.shape
  blocks = pixels.reshape(b, h // 2, 2, w // 2, 2, c).astype(jnp.float32)
  return jnp.round(jnp.mean(blocks, (2, 4))).astype(jnp.uint8)
