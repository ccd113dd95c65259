"""Composites from photos: the masked object recoloured at random, on device.

The object takes the colours of another object or of other light, in the ways
that made iHarmony4's composites (`FAMILIES`). Pixels outside the mask stay as
they are, to the bit.

One image is float32 [H, W, 3] in [0, 1], its mask [H, W, 1] of 0 and 1;
`make_composites` and `vary_photos` take and give uint8 batches.
"""

from hdnet_jax.recolor.composites import (
  FAMILIES,
  make_composites,
  vary_photos,
)

__all__ = ["FAMILIES", "make_composites", "vary_photos"]
