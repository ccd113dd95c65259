"""Colour maps: three-dimensional look-up tables, of films and graders."""

import os

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hdnet_jax.errors import UserError

Map = UInt8[Array, "n n n 3"]
Maps = UInt8[Array | np.ndarray, "m n n n 3"]


def apply_map(table: Map, photo: Float[Array, "*s 3"]) -> Float[Array, "*s 3"]:
  """Map every pixel by the table, with trilinear interpolation.

  Args:
    table: sRGB output, 0 to 255, by sRGB input [red, green, blue].
    photo: in [0, 1], as is the result.
  """
  size = table.shape[0]
  entries = table.reshape(-1, 3)
  place = photo * (size - 1)
  low = jnp.clip(place.astype(jnp.int32), 0, size - 2)
  share = place - low
  strides = np.array([size * size, size, 1], np.int32)
  first = jnp.sum(low * strides, axis=-1)
  total = jnp.zeros_like(photo)
  for corner in np.ndindex(2, 2, 2):
    weights = jnp.where(np.array(corner, bool), share, 1 - share)
    # Bounds need no check: `low` is clipped.
    values = entries.at[first + int(np.dot(corner, strides))].get(
      mode="promise_in_bounds"
    )
    total = total + jnp.prod(weights, axis=-1, keepdims=True) * values
  return total / 255


def load_maps(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "m n n n 3"]:
  """Load the `maps` of an .npz file, uint8 [M, N, N, N, 3].

  Raises:
    UserError: if the file cannot be read, or holds something else.
  """
  try:
    with np.load(path) as file:
      maps = file["maps"]
  except (OSError, ValueError, KeyError) as error:
    raise UserError(
      f"{path} cannot be read as colour maps ({' '.join(str(error).split())}); "
      "give an .npz file with `maps`, uint8 [count, n, n, n, 3]"
    ) from None
  n = maps.shape[1] if maps.ndim == 5 else 0
  if maps.dtype != np.uint8 or n < 2 or maps.shape[1:] != (n, n, n, 3):
    raise UserError(
      f"`maps` of {path} are {maps.dtype} {list(maps.shape)}, not uint8 "
      "[count, n, n, n, 3]"
    )
  return maps
