"""Image metrics, a value for each image, equal to scikit-image's.

`pixel_sums` runs on the device, with exact integer sums where possible;
`from_sums` computes the metrics from them on the host, in float64. So the
metrics of given pixels do not depend on batch, device or order.

Images are uint8 [B, H, W, 3], masks uint8 [B, H, W, 1] of 0/1; height and width
are 7 or more. `evaluation.protocols` says which images are compared.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8


class Metric(NamedTuple):
  """How tables show a metric."""

  title: str
  more_is_better: bool
  digits: int
  difference_digits: int


# In the order of tables.
METRICS = {
  "psnr": Metric("PSNR ↑", True, 2, 3),
  "mse": Metric("MSE ↓", False, 2, 2),
  "fmse": Metric("fMSE ↓", False, 2, 2),
  "ssim": Metric("SSIM ↑", True, 4, 5),
}
NAMES = ("mse", "psnr", "fmse", "ssim")  # in the order of files
SHIFTS = ("red", "green", "blue")
PEAK = 255.0
WINDOW = 7  # side of SSIM's window, in pixels
_AREA = WINDOW**2
_PART = 8192  # columns whose largest sum, 3 * 255^2 each, is an int32

AnyArray = Array | np.ndarray


def text_of(name: str, value: float | None) -> str:
  """Return the metric's mean as text; "inf" where no finite value is left."""
  return "inf" if value is None else f"{value:.{METRICS[name].digits}f}"


class Sums(NamedTuple):
  """Sums over width and channels of each row of an image.

  Sums of squares are over parts of the width, so that each fits an int32.
  """

  squared: Int[AnyArray, "b h parts"]  # squared differences
  foreground: Int[AnyArray, "b h parts"]  # of them, those inside the mask
  shift: Int[AnyArray, "b h 3"]  # differences inside the mask, by channel
  ssim: Float[AnyArray, "b h-6"]  # local similarities, by rows of windows


def pixel_sums(
  image: UInt8[Array, "b h w 3"],
  truth: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
) -> Sums:
  """Sum what `from_sums` needs of `image` and `truth`; jittable."""
  x, y = image.astype(jnp.int32), truth.astype(jnp.int32)
  difference = x - y
  squared = jnp.square(difference)
  return Sums(
    squared=_in_parts(squared),
    foreground=_in_parts(squared * mask),
    shift=jnp.sum(difference * mask, axis=2),
    ssim=jnp.sum(_similarity(x, y), axis=2),
  )


def from_sums(
  sums: Sums, area: np.ndarray, width: int
) -> dict[str, np.ndarray]:
  """Return the metrics by name, float64 [B].

  mse   mean squared error over all pixels and channels
  psnr  in dB, peak 255; inf for equal images
  fmse  mean squared error over the foreground, sum(M d^2) / (3 sum(M)); 0 for
        an empty mask
  ssim  structural similarity, scikit-image's default
  red, green, blue
        mean of image - truth over the foreground, in levels; 0 for an empty one

  Args:
    area: pixels of the foreground, [B].
    width: of the images.
  """
  squared = np.asarray(sums.squared, np.float64)  # integers up to 2^53: exact
  foreground = np.asarray(sums.foreground, np.float64)
  similarity = np.asarray(sums.ssim, np.float64)
  mse = squared.sum(axis=(1, 2)) / (3 * width * squared.shape[1])
  shift = np.asarray(sums.shift, np.float64).sum(axis=1)
  shift = shift / np.maximum(area, 1)[:, None]
  windows = similarity.shape[1] * (width - WINDOW + 1)
  with np.errstate(divide="ignore"):  # equal images have inf
    psnr = 10 * np.log10(PEAK**2 / mse)
  return {
    "mse": mse,
    "psnr": psnr,
    "fmse": foreground.sum(axis=(1, 2)) / (3 * np.maximum(area, 1)),
    "ssim": similarity.sum(axis=1) / (3 * windows),
    **dict(zip(SHIFTS, shift.T, strict=True)),
  }


def _in_parts(x: Int[Array, "b h w 3"]) -> Int[Array, "b h parts"]:
  starts = range(0, x.shape[2], _PART)
  parts = [jnp.sum(x[:, :, i : i + _PART], axis=(2, 3)) for i in starts]
  return jnp.stack(parts, axis=2)


def _similarity(
  x: Int[Array, "b h w 3"], y: Int[Array, "b h w 3"]
) -> Float[Array, "b h-6 v"]:
  """Return the SSIM of every 7x7 window inside the image and every channel.

  Uniform window, sample covariance, K1 = 0.01, K2 = 0.03, data range 255. All
  is multiplied by the squared area, which keeps it in integers to the end.
  """
  # Width and channels as one axis: three times as fast on CPUs.
  b, h, w, c = x.shape
  x, y = x.reshape(b, h, w * c), y.reshape(b, h, w * c)
  sum_x, sum_y = _window_sum(x, c), _window_sum(y, c)
  sum_xy = _window_sum(x * y, c)
  sum_squares = _window_sum(x * x + y * y, c)
  product, squares = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
  sample = _AREA / (_AREA - 1)
  c1, c2 = ((k * PEAK * _AREA) ** 2 for k in (0.01, 0.03))
  covariance = sample * (_AREA * sum_xy - product).astype(jnp.float32)
  variances = sample * (_AREA * sum_squares - squares).astype(jnp.float32)
  luminance = (2 * product + c1) / (squares + c1)
  return luminance * (2 * covariance + c2) / (variances + c2)


def _window_sum(x: Int[Array, "b h u"], channels: int) -> Int[Array, "b h-6 v"]:
  """Sum over each 7x7 window inside the image.

  The next pixel to the right is `channels` places farther on.
  """
  for axis, step in ((1, 1), (2, channels)):
    count = x.shape[axis] - (WINDOW - 1) * step

    def shifted(
      array: Array,
      shift: int,
      more: int,
      axis: int = axis,
      step: int = step,
      count: int = count,
    ) -> Array:
      start, length = shift * step, count + more * step
      return jax.lax.slice_in_dim(array, start, start + length, axis=axis)

    # Of two, of four, then of seven: 4 + 2 + 1.
    two = shifted(x, 0, 5) + shifted(x, 1, 5)
    four = shifted(two, 0, 2) + shifted(two, 2, 2)
    x = shifted(four, 0, 0) + shifted(two, 4, 0) + shifted(x, 6, 0)
  return x
