"""Composites from photos: the masked object recoloured at random, on device.

The object takes the colours of other light: gains and gammas of its channels,
exposure, contrast, saturation, white balance and a smooth tone curve, and, for
half of the examples, the colour statistics of another photo's object (Reinhard
et al. 2001), as the colour transfers that made iHarmony4 do. Pixels outside the
mask stay as they are, to the bit.

One image is float32 [H, W, 3] in [0, 1], its mask [H, W, 1]; `make_composites`
takes and gives uint8 batches.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

Photo = Float[Array, "h w 3"]
Mask = Float[Array, "h w 1"]

TRANSFER_SHARE = 0.5  # of examples that take another object's statistics
CHANGE_SHARE = 0.5  # of examples in which one given change takes part
_MIN_PIXELS = 16  # of an object whose statistics mean anything
# A factor f on linear light is f ** (1 / 2.2) on pixels.
_DISPLAY_GAMMA = 2.2
# NumPy, so that importing this module does not start JAX's devices.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601
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


def make_composites(
  keys: Array,
  real: UInt8[Array, "b h w 3"],
  mask: UInt8[Array, "b h w 1"],
  donor_real: UInt8[Array, "b h w 3"],
  donor_mask: UInt8[Array, "b h w 1"],
  strength: float = 1.0,
) -> UInt8[Array, "b h w 3"]:
  """One composite an example.

  Args:
    keys: a random key an example.
    real, mask: the photos and their objects, masks 0/1.
    donor_real, donor_mask: photos whose objects lend their colours.
    strength: scales every change; 0 leaves the photo as it is.
  """

  def one(key, real, mask, donor_real, donor_mask):
    photo = real.astype(jnp.float32) / 255
    region = mask.astype(jnp.float32)
    changed = recolor(
      key,
      photo,
      region,
      donor_real.astype(jnp.float32) / 255,
      donor_mask.astype(jnp.float32),
      strength,
    )
    changed = jnp.round(255 * changed).astype(jnp.uint8)
    return jnp.where(mask > 0, changed, real)

  return jax.vmap(one)(keys, real, mask, donor_real, donor_mask)


def vary_photos(
  keys: Array, real: UInt8[Array, "b h w 3"], strength: float = 1.0
) -> UInt8[Array, "b h w 3"]:
  """Whole photos in other colours, one key each: an augmentation.

  The channels change places, and the light changes as that of objects does.

  A network that sees few photos learns their colours by heart; when every
  visit shows them in others, the background alone tells what fits.
  """

  def one(key, real):
    everywhere = jnp.ones((*real.shape[:2], 1))
    key_channels, key_change = jax.random.split(key)
    photo = jax.random.permutation(key_channels, real, axis=-1)
    photo = photo.astype(jnp.float32) / 255
    photo = change(key_change, photo, everywhere, strength)
    return jnp.round(255 * photo).astype(jnp.uint8)

  return jax.vmap(one)(keys, real)


def recolor(
  key: Array,
  photo: Photo,
  mask: Mask,
  donor_photo: Photo,
  donor_mask: Mask,
  strength: float = 1.0,
) -> Photo:
  """`photo` in other colours, in [0, 1]; only those inside the mask matter."""
  key_transfer, key_change = jax.random.split(key)
  share, amount = jax.random.uniform(key_transfer, (2,))
  amount = strength * (0.3 + 0.7 * amount) * (share < TRANSFER_SHARE)
  target = transfer_statistics(photo, mask, donor_photo, donor_mask)
  photo = jnp.clip(photo + amount * (target - photo), 0, 1)
  return change(key_change, photo, mask, strength)


def change(key: Array, photo: Photo, mask: Mask, strength: float) -> Photo:
  """A random choice of `CHANGES`, at least one, each by a random amount."""
  key_choice, key_draws = jax.random.split(key)
  chosen = jax.random.bernoulli(key_choice, CHANGE_SHARE, (len(CHANGES),))
  chosen = chosen.at[0].set(chosen[0] | ~jnp.any(chosen))
  draws = jax.random.uniform(
    key_draws, (len(CHANGES), DRAWS), minval=-1.0, maxval=1.0
  )
  draws = draws * strength * chosen[:, None]
  for one_change, draw in zip(CHANGES, draws, strict=True):
    photo = jnp.clip(one_change(draw, photo, mask), 0, 1)
  return photo


# Each change takes numbers in [-1, 1]; 0 is the identity, up to rounding.
DRAWS = 6
Draw = Float[Array, "6"]


def exposure(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Up to one stop more or less light."""
  del mask
  return x * 2 ** (draw[0] / _DISPLAY_GAMMA)


def white_balance(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Warmer or colder light, with a little tint, at about equal luminance."""
  del mask
  warmth, tint = 0.5 * draw[0], 0.15 * draw[1]
  gains = jnp.exp(jnp.stack([warmth, -tint, -warmth]))
  gains = gains / jnp.sum(gains * _LUMA)
  return x * gains ** (1 / _DISPLAY_GAMMA)


def gain_and_gamma(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Each channel its own factor and exponent, up to 1.3 either way."""
  del mask
  gain, gamma = jnp.exp(0.26 * draw.reshape(2, 3))
  return gain * jnp.maximum(x, 1e-4) ** gamma


def contrast(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Farther from the object's mean, or nearer to it, up to 1.6 times."""
  mean = jnp.sum(x * mask) / (3 * jnp.maximum(jnp.sum(mask), 1))
  return mean + (x - mean) * jnp.exp(0.5 * draw[0])


def saturation(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Farther from gray, or nearer to it, up to 1.6 times."""
  del mask
  gray = _mix(x, _LUMA[None])
  return gray + (x - gray) * jnp.exp(0.5 * draw[0])


def tone_curve(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """A smooth, increasing curve through 0 and 1: lifted or bent to an S."""
  del mask
  lift, bend = 0.45 * draw[0], 0.5 * draw[1]  # below 1 in all: increasing
  return x + x * (1 - x) * (lift + bend * (2 * x - 1))


CHANGES: tuple[Callable[[Draw, Photo, Mask], Photo], ...] = (
  exposure,
  white_balance,
  gain_and_gamma,
  contrast,
  saturation,
  tone_curve,
)


def transfer_statistics(
  photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """The object with the donor object's mean and deviation in l-alpha-beta.

  Deviations change by a factor of at most 2.5 either way. Where either object
  is smaller than 16 pixels the photo is returned.
  """
  lab, donor = _to_lab(photo), _to_lab(donor_photo)
  mean, deviation = _statistics(lab, mask)
  donor_mean, donor_deviation = _statistics(donor, donor_mask)
  ratio = jnp.clip(donor_deviation / deviation, 1 / 2.5, 2.5)
  changed = _from_lab((lab - mean) * ratio + donor_mean)
  sizes = jnp.minimum(jnp.sum(mask), jnp.sum(donor_mask))
  return jnp.where(sizes >= _MIN_PIXELS, jnp.clip(changed, 0, 1), photo)


def _statistics(x: Photo, mask: Mask) -> tuple[Array, Array]:
  count = jnp.maximum(jnp.sum(mask), 1)
  mean = jnp.sum(x * mask, axis=(0, 1)) / count
  variance = jnp.sum(jnp.square(x - mean) * mask, axis=(0, 1)) / count
  return mean, jnp.sqrt(variance + 1e-6)


def _to_lab(x: Photo) -> Photo:
  lms = _mix(jnp.maximum(x, 1 / 255), _RGB_TO_LMS)
  return _mix(jnp.log(lms), _LMS_TO_LAB)


def _from_lab(lab: Photo) -> Photo:
  return _mix(jnp.exp(_mix(lab, _LAB_TO_LMS)), _LMS_TO_RGB)


def _mix(x: Photo, matrix: Float[np.ndarray, "o 3"]) -> Float[Array, "h w o"]:
  """Every pixel times `matrix`; a dot of 3 by 3 is ten times slower."""
  return sum(x[..., i : i + 1] * matrix[:, i] for i in range(3))
