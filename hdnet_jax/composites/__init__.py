"""Composites from photos, on the device, for training and evaluation.

An example's layers are a background, an object and its alpha. The truth is a
development of the whole photo; in the composite the object has another one, or
the colours of a donor or of a film.
"""

from hdnet_jax.composites.composites import (
  Composites,
  Layers,
  make_composites,
  with_composites,
)

__all__ = ["Composites", "Layers", "make_composites", "with_composites"]
