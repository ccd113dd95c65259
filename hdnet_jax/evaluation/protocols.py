"""Evaluation protocols: which images are compared.

A protocol decides what the network sees and how its output becomes pixels.
Numbers differ by protocol, so every table and file names its own.

  paper     as the authors' code and the published tables: the input has the
            background of the real photo; pixels are truncated
  standard  the composite as it is; pixels are rounded
  fullres   at the image's own size; see `evaluation.full_resolution`
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hdnet_jax.model.pixels import normalize, to_pixels

# Maps composites in [-1, 1] and masks of 0/1 to harmonized images in [-1, 1].
Harmonize = Callable[[Array, Array], Array]


class Images(NamedTuple):
  """The pixels before and after, and the truth."""

  composite: UInt8[Array, "b h w 3"]
  harmonized: UInt8[Array, "b h w 3"]
  real: UInt8[Array, "b h w 3"]


def standard(
  harmonize: Harmonize,
  composite: UInt8[Array, "b h w 3"],
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> Images:
  """Harmonize the composite as it is; round and clip to pixels."""
  output = harmonize(normalize(composite), mask.astype(jnp.float32))
  return Images(composite, to_pixels(output), real)


def paper(
  harmonize: Harmonize,
  composite: UInt8[Array, "b h w 3"],
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> Images:
  """Compute what the authors' code computes, step by step.

  The background is pasted from the real photo, without the composite's traces
  of JPEG and resizing. Pixels are (x + 1) / 2 * 255, truncated, which turns 63
  of the 256 levels of an untouched image, truth or composite, into the one
  below.
  """
  pasted = jnp.where(mask > 0, composite, real)
  seen = jnp.asarray(AUTHORS_INPUT)[pasted]
  pixels = truncate(harmonize(seen, mask.astype(jnp.float32)))
  authors_pixels = jnp.asarray(AUTHORS_PIXELS)
  truth = authors_pixels[real]
  return Images(
    composite=authors_pixels[pasted],
    harmonized=jnp.where(mask > 0, pixels, truth),
    real=truth,
  )


def truncate(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
  """Truncate [-1, 1] to uint8 0 to 255, as the authors' code does."""
  return ((image + 1) / 2 * 255).astype(jnp.uint8)


# By level, in the float32 arithmetic of the authors' libraries: a compiler may
# replace a division by a multiplication, which rounds otherwise.
_LEVELS = np.arange(256, dtype=np.float32)
AUTHORS_INPUT = (_LEVELS / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
AUTHORS_PIXELS = (
  (AUTHORS_INPUT + np.float32(1)) / np.float32(2) * np.float32(255)
).astype(np.uint8)

PROTOCOLS = {"standard": standard, "paper": paper}
