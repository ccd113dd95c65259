"""A mask that sets in over some pixels, not at once."""

import math

import numpy as np
from scipy.ndimage import distance_transform_edt

from hdnet_jax.inference import guided_filter


def feathered(mask: np.ndarray, feather: float) -> np.ndarray:
  """The mask, that rises from its edge inwards over `feather` pixels.

  It is multiplied by d / (feather + 1), at most 1, where d is the distance to
  the nearest pixel of mask 0. So where it is 0 it stays so. The image's own
  borders are no edges.

  Args:
    mask: of `arrays.as_mask`; it is returned as it is for a feather of 0.
  """
  if not feather:
    return mask
  result = mask.astype(np.float32)
  height, width = mask.shape
  reach = math.ceil(feather) + 1  # further away nothing matters
  for band in guided_filter.bands(height, width, reach):
    first = max(band.start - reach, 0)
    inside = mask[first : band.stop + reach] > 0
    if inside.all() or not inside.any():
      continue
    distance = distance_transform_edt(inside)[band.start - first :]
    ramp = distance[: band.stop - band.start] / (feather + 1)
    result[band] *= np.minimum(ramp, 1)
  return result
