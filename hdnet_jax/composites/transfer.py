"""Colour transfers: the object takes a donor's means, spread or distribution.

iHarmony4's composites of COCO and Flickr photos were made this way (Cong et al.
2020). Deviations change by a factor of at most 2.5 either way; results are in
[0, 1]. If either object is smaller than 16 pixels, the photo is not changed.

`distribution` estimates quantiles from a fixed number of random pixels of each
object, so that shapes are static. It maps colours by a short table, since a
sort of all pixels is slow. Tables are smooth, and their slopes are within 0.25
to 2.5: steeper ones show bands.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hdnet_jax.composites.development import Mask, Photo, mix

MIN_PIXELS = 16  # of an object whose statistics mean anything
MAX_RATIO = 2.5  # of deviations, either way
SAMPLES = 2048  # pixels of an object
ENTRIES = 256  # of a table
ROTATIONS = 8
MIN_SLOPE = 0.25
_SMOOTH = 4  # entries on either side that a slope is averaged with

Colors = Float[Array, "n 3"]


class Object(NamedTuple):
  """A photo and the mask of an object in it."""

  photo: Photo
  mask: Mask


# Reinhard et al. 2001: RGB to the cones' LMS, whose logarithms Ruderman's
# l-alpha-beta decorrelates.
_RGB_TO_LMS = np.array(
  [
    [0.3811, 0.5783, 0.0402],
    [0.1967, 0.7244, 0.0782],
    [0.0241, 0.1288, 0.8444],
  ],
  np.float32,
)
_LMS_TO_RGB = np.linalg.inv(_RGB_TO_LMS)
_LMS_TO_LAB = (
  np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ [[1, 1, 1], [1, 1, -2], [1, -1, 0]]
).astype(np.float32)
_LAB_TO_LMS = np.linalg.inv(_LMS_TO_LAB)


def reinhard_lab(key: Array, own: Object, donor: Object) -> Photo:
  """Match the donor's mean and deviation in l-alpha-beta (Reinhard 2001)."""
  del key
  lab = _to_lab(own.photo)
  mean, deviation = _mean_and_deviation(lab, own.mask)
  donor_mean, donor_deviation = _mean_and_deviation(
    _to_lab(donor.photo), donor.mask
  )
  ratio = jnp.clip(donor_deviation / deviation, 1 / MAX_RATIO, MAX_RATIO)
  changed = _from_lab((lab - mean) * ratio + donor_mean)
  return _if_large(changed, own, donor)


def covariance(key: Array, own: Object, donor: Object) -> Photo:
  """Match the donor's mean and covariance of RGB (Xiao and Ma 2006).

  Of the matrices that do so, it takes the one that moves colours least (Pitie
  and Kokaram 2007).
  """
  del key
  mean, spread = _mean_and_covariance(*own)
  donor_mean, donor_spread = _mean_and_covariance(*donor)
  root, inverse_root = _power(spread, 0.5), _power(spread, -0.5)
  middle = _power(_product(root, donor_spread, root), 0.5)
  matrix = _product(inverse_root, middle, inverse_root)
  scales, axes = jnp.linalg.eigh(matrix)
  scales = jnp.clip(scales, 1 / MAX_RATIO, MAX_RATIO)
  matrix = _product(axes, jnp.diag(scales), axes.T)
  changed = mix(own.photo - mean, matrix) + donor_mean
  return _if_large(changed, own, donor)


def _if_large(changed: Photo, own: Object, donor: Object) -> Photo:
  """Return `changed`, clipped; the photo if either object is too small."""
  sizes = jnp.minimum(jnp.sum(own.mask), jnp.sum(donor.mask))
  return jnp.where(sizes >= MIN_PIXELS, jnp.clip(changed, 0, 1), own.photo)


def _mean_and_count(x: Photo, mask: Mask) -> tuple[Array, Array]:
  count = jnp.maximum(jnp.sum(mask), 1)
  return jnp.sum(x * mask, axis=(0, 1)) / count, count


def _mean_and_deviation(x: Photo, mask: Mask) -> tuple[Array, Array]:
  """Return each channel's mean and deviation in the mask; finite if empty."""
  mean, count = _mean_and_count(x, mask)
  variance = jnp.sum(jnp.square(x - mean) * mask, axis=(0, 1)) / count
  return mean, jnp.sqrt(variance + 1e-6)


def _mean_and_covariance(x: Photo, mask: Mask) -> tuple[Array, Array]:
  """Return mean and positive definite covariance of what is inside the mask."""
  mean, count = _mean_and_count(x, mask)
  centered = (x - mean) * mask
  rows = [
    jnp.sum(centered * centered[..., i : i + 1], axis=(0, 1)) for i in range(3)
  ]
  return mean, jnp.stack(rows) / count + 1e-6 * jnp.eye(3)


def _power(matrix: Float[Array, "3 3"], power: float) -> Array:
  """Raise a symmetric matrix to a power."""
  values, axes = jnp.linalg.eigh(matrix)
  # Rounding may leave the least value below 0.
  return _product(axes, jnp.diag(jnp.maximum(values, 1e-8) ** power), axes.T)


def _product(*matrices: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
  # Accelerators round what they multiply to bfloat16 unless told otherwise.
  return jnp.linalg.multi_dot(matrices, precision=jax.lax.Precision.HIGHEST)


def _to_lab(x: Photo) -> Photo:
  lms = mix(jnp.maximum(x, 1 / 255), _RGB_TO_LMS)
  return mix(jnp.log(lms), _LMS_TO_LAB)


def _from_lab(lab: Photo) -> Photo:
  return mix(jnp.exp(mix(lab, _LAB_TO_LMS)), _LMS_TO_RGB)


def distribution(key: Array, own: Object, donor: Object) -> Photo:
  """Match the donor's distribution of colours (Pitie et al. 2007).

  It matches histograms along the axes of one random rotation after another.
  """
  key_samples, key_rotations = jax.random.split(key)
  key_own, key_donor = jax.random.split(key_samples)
  donor_samples = _sample(key_donor, *donor)

  def match(_: Array, carry: tuple[Array, Photo, Colors]):
    key, changed, samples = carry
    key, key_now = jax.random.split(key)
    rotation = _rotation(key_now)
    samples = mix(samples, rotation)
    tables = _tables(samples, mix(donor_samples, rotation))
    changed = mix(_apply(tables, mix(changed, rotation)), rotation.T)
    return key, changed, mix(_apply(tables, samples), rotation.T)

  carry = (key_rotations, own.photo, _sample(key_own, *own))
  _, changed, _ = jax.lax.fori_loop(0, ROTATIONS, match, carry)
  return _if_large(changed, own, donor)


def _sample(key: Array, photo: Photo, mask: Mask) -> Colors:
  """Draw colours of pixels inside the mask; of any pixels if it is empty."""
  places = jnp.cumsum(mask.ravel())
  # Stratified: the n-th sample is from the n-th part of the object.
  parts = jnp.arange(SAMPLES) + jax.random.uniform(key, (SAMPLES,))
  ranks = parts / SAMPLES * places[-1]
  indices = jnp.searchsorted(places, ranks, side="right")
  indices = jnp.minimum(indices, places.size - 1)
  return photo.reshape(-1, 3)[indices]


def _rotation(key: Array) -> Float[Array, "3 3"]:
  """Draw a rotation by a random unit quaternion."""
  q = jax.random.normal(key, (4,))
  w, x, y, z = q / jnp.maximum(jnp.linalg.norm(q), 1e-6)
  return jnp.array(
    [
      [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
      [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
      [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
  )


def _tables(samples: Colors, donor: Colors) -> tuple[Array, Array, Array]:
  """Return each channel's table: its lowest value, step and changes."""
  samples, donor = jnp.sort(samples, axis=0), jnp.sort(donor, axis=0)
  low, high = samples[0], samples[-1]
  step = jnp.maximum(high - low, 1e-3) / (ENTRIES - 1)
  values = low + step * jnp.arange(ENTRIES)[:, None]
  by_channel = jax.vmap(_matched, in_axes=1, out_axes=1)
  slopes = jnp.diff(by_channel(samples, donor, values), axis=0) / step
  slopes = jnp.clip(slopes, MIN_SLOPE, MAX_RATIO)
  padded = jnp.pad(slopes, ((_SMOOTH, _SMOOTH), (0, 0)), "edge")
  window = 2 * _SMOOTH + 1
  slopes = sum(padded[i : i + ENTRIES - 1] for i in range(window)) / window
  change = jnp.pad(jnp.cumsum((slopes - 1) * step, axis=0), ((1, 0), (0, 0)))
  # Bounded slopes have moved the mean: move it to the donor's.
  mean = jnp.mean(_apply((low, step, change), samples), axis=0)
  return low, step, change + jnp.mean(donor, axis=0) - mean


def _matched(
  samples: Float[Array, "n"],
  donor: Float[Array, "n"],
  values: Float[Array, "e"],
) -> Float[Array, "e"]:
  """Map `values` from `samples`' quantiles to those of `donor`, both sorted."""
  # The middle of equal values is their quantile.
  ranks = sum(
    jnp.searchsorted(samples, values, side=side) for side in ("left", "right")
  )
  place = jnp.clip(ranks / 2 - 0.5, 0, SAMPLES - 1)
  whole = jnp.minimum(place.astype(jnp.int32), SAMPLES - 2)
  return donor[whole] + (place - whole) * (donor[whole + 1] - donor[whole])


def _apply(tables: tuple[Array, Array, Array], x: Array) -> Array:
  """Change each channel of `x`, [..., 3], by its table."""
  low, step, entries = tables
  place = jnp.clip((x - low) / step, 0, ENTRIES - 1)
  whole = jnp.minimum(place.astype(jnp.int32), ENTRIES - 2)

  def at(index: Array) -> Array:
    # Bounds need no check: `whole` is clipped.
    return entries.at[index, jnp.arange(3)].get(mode="promise_in_bounds")

  before, after = at(whole), at(whole + 1)
  return x + before + (place - whole) * (after - before)
