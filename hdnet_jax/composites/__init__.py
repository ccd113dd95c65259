"""Composites from photos, on the device, for training and evaluation.

An example's layers are a background, an object and its alpha. The truth is a
development of the whole photo. In the composite, the object has another
development, the colours of another photo's object, or those of a colour map.
"""

from hdnet_jax.composites.composites import (
  Composites,
  Layers,
  make_composites,
  with_composites,
)

__all__ = ["Composites", "Layers", "make_composites", "with_composites"]
