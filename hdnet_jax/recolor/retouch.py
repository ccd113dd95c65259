"""Retouching: what a photo editor's sliders and curves do, by random amounts.

The experts of HAdobe5k (MIT-Adobe FiveK, Bychkovsky et al. 2011) worked with
such sliders.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.recolor.pixels import DISPLAY_GAMMA, LUMA, Mask, Photo, mix

CHANGE_SHARE = 0.5  # of examples in which one given change takes part
# Each change takes numbers in [-1, 1]; 0 is the identity, up to rounding.
DRAWS = 6
Draw = Float[Array, "6"]
Change = Callable[[Draw, Photo, Mask], Photo]


def retouch(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """A random choice of `RETOUCHES`; the donor has no part in it."""
  del donor_photo, donor_mask
  return change(key, photo, mask, 1.0, RETOUCHES)


def change(
  key: Array,
  photo: Photo,
  mask: Mask,
  strength: float,
  changes: tuple[Change, ...] | None = None,
) -> Photo:
  """A random choice of `changes`, at least one, each by a random amount.

  Without `changes`, of `CHANGES`.
  """
  changes = CHANGES if changes is None else changes
  key_choice, key_draws = jax.random.split(key)
  chosen = jax.random.bernoulli(key_choice, CHANGE_SHARE, (len(changes),))
  chosen = chosen.at[0].set(chosen[0] | ~jnp.any(chosen))
  draws = jax.random.uniform(
    key_draws, (len(changes), DRAWS), minval=-1.0, maxval=1.0
  )
  draws = draws * strength * chosen[:, None]
  for one_change, draw in zip(changes, draws, strict=True):
    photo = jnp.clip(one_change(draw, photo, mask), 0, 1)
  return photo


def exposure(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Up to one stop more or less light."""
  del mask
  return x * 2 ** (draw[0] / DISPLAY_GAMMA)


def white_balance(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """Warmer or colder light, with a little tint, at about equal luminance."""
  del mask
  warmth, tint = 0.5 * draw[0], 0.15 * draw[1]
  gains = jnp.exp(jnp.stack([warmth, -tint, -warmth]))
  gains = gains / jnp.sum(gains * LUMA)
  return x * gains ** (1 / DISPLAY_GAMMA)


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
  gray = mix(x, LUMA[None])
  return gray + (x - gray) * jnp.exp(0.5 * draw[0])


def tone_curve(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """A smooth, increasing curve through 0 and 1: lifted or bent to an S."""
  del mask
  lift, bend = 0.45 * draw[0], 0.5 * draw[1]  # below 1 in all: increasing
  return x + x * (1 - x) * (lift + bend * (2 * x - 1))


def film_curves(draw: Draw, x: Photo, mask: Mask) -> Photo:
  """A curve of its own for each channel, as films and their copies have."""
  del mask
  lift, bend = 0.35 * draw[:3], 0.45 * draw[3:]  # below 1 in all: increasing
  return x + x * (1 - x) * (lift + bend * (2 * x - 1))


CHANGES: tuple[Change, ...] = (
  exposure,
  white_balance,
  gain_and_gamma,
  contrast,
  saturation,
  tone_curve,
)
RETOUCHES: tuple[Change, ...] = (*CHANGES, film_curves)
