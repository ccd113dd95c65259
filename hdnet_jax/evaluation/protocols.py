"""Evaluation protocols: which images are compared.

Numbers of this field differ by protocol as much as by model, so every table
and file names the one that it was made under. A protocol is a function from a
batch to the images that its metrics are of; it decides what the network sees
and how its output becomes pixels.

  paper     the authors' code, and so the published tables: the background of
            the input is the real photo's; pixels are truncated
  standard  no help from the truth: our headline
  fullres   at the image's own size; see `evaluation.full_resolution`
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from hdnet_jax.model.pixels import normalize, to_pixels

# Harmonized images, in [-1, 1], of composites in [-1, 1] and masks of 0/1.
Harmonize = Callable[[Array, Array], Array]


class Images(NamedTuple):
  """What is compared, as pixels: before and after beside the truth."""

  composite: UInt8[Array, "b h w 3"]
  harmonized: UInt8[Array, "b h w 3"]
  real: UInt8[Array, "b h w 3"]


def standard(
  harmonize: Harmonize,
  composite: UInt8[Array, "b h w 3"],
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> Images:
  """The network sees the composite as it is; pixels are rounded and clipped."""
  output = harmonize(normalize(composite), mask.astype(jnp.float32))
  return Images(composite, to_pixels(output), real)


def paper(
  harmonize: Harmonize,
  composite: UInt8[Array, "b h w 3"],
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> Images:
  """What the authors' code computes, step by step.

  The background is pasted from the real photo, which hides what JPEG and
  resizing did to the composite's. Pixels are (x + 1) / 2 * 255, truncated, and
  this turns 63 of the 256 levels of an untouched image into the one below: of
  the composite and the truth alike.
  """
  pasted = jnp.where(mask > 0, composite, real)
  seen = jnp.asarray(_AUTHORS_INPUT)[pasted]
  pixels = truncate(harmonize(seen, mask.astype(jnp.float32)))
  authors_pixels = jnp.asarray(_AUTHORS_PIXELS)
  truth = authors_pixels[real]
  return Images(
    composite=authors_pixels[pasted],
    harmonized=jnp.where(mask > 0, pixels, truth),
    real=truth,
  )


def truncate(image: Float[Array, "..."]) -> UInt8[Array, "..."]:
  """Float -1 to 1 as uint8 0 to 255, by truncation as in the authors' code."""
  return ((image + 1) / 2 * 255).astype(jnp.uint8)


# Of every level, in the float32 arithmetic of the authors' libraries; a
# compiler may divide by multiplying, which rounds otherwise.
_LEVELS = np.arange(256, dtype=np.float32)
_AUTHORS_INPUT = (_LEVELS / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
_AUTHORS_PIXELS = (
  (_AUTHORS_INPUT + np.float32(1)) / np.float32(2) * np.float32(255)
).astype(np.uint8)

PROTOCOLS = {"standard": standard, "paper": paper}
