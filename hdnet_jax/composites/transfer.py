"""Colour transfer by means and deviations: the object takes a donor's.

iHarmony4's composites of COCO and Flickr photos were made so (Cong et al.
2020). Deviations change by a factor of at most 2.5 either way; results are in
[0, 1]. Where either object is smaller than 16 pixels the photo is returned.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hdnet_jax.composites.pixels import (
  MAX_RATIO,
  Mask,
  Photo,
  mean_and_deviation,
  mix,
  where_large,
)

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


def reinhard_lab(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """The donor's mean and deviation in l-alpha-beta (Reinhard et al. 2001)."""
  del key
  lab, donor = _to_lab(photo), _to_lab(donor_photo)
  changed = _from_lab(_rescaled(lab, mask, donor, donor_mask))
  return where_large(changed, photo, mask, donor_mask)


def covariance(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """The donor's mean and covariance of RGB (Xiao and Ma 2006).

  Their matrix is one of many that give the covariance, and may swap colours;
  this is the one that moves colours least (Pitie and Kokaram 2007). Where its
  scales are beyond 2.5 they are cut.
  """
  del key
  mean, ours = _mean_and_covariance(photo, mask)
  donor_mean, theirs = _mean_and_covariance(donor_photo, donor_mask)
  root, inverse_root = _root(ours), _root(ours, -0.5)
  middle = _root(_product(root, theirs, root))
  matrix = _product(inverse_root, middle, inverse_root)
  scales, axes = jnp.linalg.eigh(matrix)
  scales = jnp.clip(scales, 1 / MAX_RATIO, MAX_RATIO)
  matrix = _product(axes, jnp.diag(scales), axes.T)
  changed = mix(photo - mean, matrix) + donor_mean
  return where_large(changed, photo, mask, donor_mask)


def _rescaled(x: Photo, mask: Mask, donor: Photo, donor_mask: Mask) -> Photo:
  mean, deviation = mean_and_deviation(x, mask)
  donor_mean, donor_deviation = mean_and_deviation(donor, donor_mask)
  ratio = jnp.clip(donor_deviation / deviation, 1 / MAX_RATIO, MAX_RATIO)
  return (x - mean) * ratio + donor_mean


def _mean_and_covariance(x: Photo, mask: Mask) -> tuple[Array, Array]:
  """Of RGB inside the mask; the covariance is above 0 for a flat object."""
  count = jnp.maximum(jnp.sum(mask), 1)
  mean = jnp.sum(x * mask, axis=(0, 1)) / count
  centered = (x - mean) * mask
  rows = [
    jnp.sum(centered * centered[..., i : i + 1], axis=(0, 1)) for i in range(3)
  ]
  return mean, jnp.stack(rows) / count + 1e-6 * jnp.eye(3)


def _root(matrix: Float[Array, "3 3"], power: float = 0.5) -> Array:
  """A power of a symmetric matrix."""
  values, axes = jnp.linalg.eigh(matrix)
  # Rounding may leave the least one below 0.
  return _product(axes, jnp.diag(jnp.maximum(values, 1e-8) ** power), axes.T)


def _product(*matrices: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
  # Accelerators round what they multiply to bfloat16 unless told otherwise.
  return jnp.linalg.multi_dot(matrices, precision=jax.lax.Precision.HIGHEST)


def _to_lab(x: Photo) -> Photo:
  lms = mix(jnp.maximum(x, 1 / 255), _RGB_TO_LMS)
  return mix(jnp.log(lms), _LMS_TO_LAB)


def _from_lab(lab: Photo) -> Photo:
  return mix(jnp.exp(mix(lab, _LAB_TO_LMS)), _LMS_TO_RGB)
