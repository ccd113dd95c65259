"""How much of a network's change is made, and where."""

import dataclasses
import math

import numpy as np

from hdnet_jax.errors import UserError
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.nearest import distance
from hdnet_jax.inference.strength import MAX_STRENGTH


@dataclasses.dataclass(frozen=True)
class ChangeOptions:
  """How an image is changed.

  strength: how much of the change is made, 0 to 1.5; 0 makes a copy, and above
    1 every colour goes further the way that it changes, within its range.
  feather: pixels over which the change rises from the mask's edge inwards.
  background: whether the background changes, to fit the foreground.

  Raises:
    UserError: for values out of range.
  """

  strength: float = 1.0
  feather: float = 0.0
  background: bool = False

  def __post_init__(self):
    if not 0 <= self.strength <= MAX_STRENGTH:
      raise UserError(
        f"strength={self.strength} is not in 0 to {MAX_STRENGTH:g}"
      )
    if not 0 <= self.feather < math.inf:
      raise UserError(
        f"feather={self.feather} is not a number of pixels, 0 or more"
      )

  def region(self, mask: np.ndarray) -> np.ndarray:
    """Return the mask of what changes: for `background`, the mask reversed.

    A mask that is nowhere over 0.5 changes nothing, and stays as it is.

    Args:
      mask: [H, W], bool or float in 0 to 1.
    """
    if not self.background or not (mask > 0.5).any():
      return mask
    return ~mask if mask.dtype == bool else 1 - mask


def feather_mask(
  mask: np.ndarray, feather: float, block_pixels: int = guided_filter.BLOCK
) -> np.ndarray:
  """Let a mask rise from its edge inwards over `feather` pixels.

  It is multiplied by d / (feather + 1), at most 1, where d is the distance to
  the nearest pixel of mask 0. The image's own borders are no edges.

  Args:
    mask: [H, W], bool or float in 0 to 1; it is returned as it is for a
      feather of 0.
    feather: in pixels, 0 or more.
    block_pixels: how many pixels are worked on at a time.
  """
  if not feather:
    return mask
  result = mask.astype(np.float32)
  reach = math.ceil(feather) + 1  # distances beyond it do not count
  height, width = mask.shape
  for rows in guided_filter.row_blocks(height, width, reach, block_pixels):
    first = max(rows.start - reach, 0)
    inside = mask[first : rows.stop + reach] > 0
    if inside.all() or not inside.any():
      continue
    # Columns further left and right have a mask of 0, and no nearer edge.
    columns = np.flatnonzero(inside.any(axis=0))
    here = slice(max(columns[0] - 1, 0), columns[-1] + 2)
    ramp = distance(~inside[:, here])[rows.start - first :]
    ramp = ramp[: rows.stop - rows.start] / (feather + 1)
    result[rows, here] *= np.minimum(ramp, 1)
  return result
