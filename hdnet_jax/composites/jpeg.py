"""What saving as JPEG does to a picture: its frequencies are rounded."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# The example tables of the JPEG standard (ITU-T T.81, annex K), as encoders
# take them: light, and colour.
_LIGHT = """
16 11 10 16 24 40 51 61     12 12 14 19 26 58 60 55
14 13 16 24 40 57 69 56     14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
"""
_COLOR = (
  """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99
"""
  + 32 * "99 "
)
_TABLES = np.stack(
  [
    np.array(table.split(), np.float32).reshape(8, 8)
    for table in (_LIGHT, _COLOR, _COLOR)
  ]
)
_TO_YCC = np.array(
  [
    [0.299, 0.587, 0.114],
    [-0.168736, -0.331264, 0.5],
    [0.5, -0.418688, -0.081312],
  ],
  np.float32,
)
_TO_RGB = np.linalg.inv(_TO_YCC).astype(np.float32)
_MIDDLE = np.array([128, 0, 0], np.float32)  # what is stored as 0


def _make_dct() -> np.ndarray:
  """Return the orthonormal DCT matrix of 8 values, float32 [8, 8]."""
  angles = np.pi * np.arange(8)[:, None] * (2 * np.arange(8) + 1) / 16
  dct = np.sqrt(0.25) * np.cos(angles)
  dct[0] /= np.sqrt(2)
  return dct.astype(np.float32)


_DCT = _make_dct()


def save_as_jpeg(
  photo: Float[Array, "h w 3"], quality: Array
) -> Float[Array, "h w 3"]:
  """Round the frequencies of 8x8 blocks as a JPEG of this quality does.

  Chrominance is not subsampled.

  Args:
    photo: in [0, 1]; h and w are multiples of 8.
    quality: 50 to 100, of the scale of the Independent JPEG Group.
  """
  h, w, _ = photo.shape
  levels = 255 * jnp.einsum("hwc,dc->hwd", photo, _TO_YCC) - _MIDDLE
  blocks = levels.reshape(h // 8, 8, w // 8, 8, 3)
  frequencies = jnp.einsum("ui,aibjc,vj->abcuv", _DCT, blocks, _DCT)
  steps = jnp.maximum(jnp.round(_TABLES * (2 - quality / 50)), 1)
  frequencies = steps * jnp.round(frequencies / steps)
  blocks = jnp.einsum("ui,abcuv,vj->aibjc", _DCT, frequencies, _DCT)
  levels = blocks.reshape(h, w, 3) + _MIDDLE
  rgb = jnp.einsum("hwc,dc->hwd", levels, _TO_RGB)
  return jnp.clip(rgb / 255, 0, 1)
