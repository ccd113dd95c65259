"""Colour transfer by distributions: the object takes a donor's.

It estimates quantiles from random pixels of the objects, always as many,
so that shapes are fixed; and map by a short table, since a sort of all pixels
is slow. A table rises by 0.25 to 2.5 times its input, and is a little smooth:
steeper ones show bands. Where either object is smaller than 16 pixels the
photo is returned.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hdnet_jax.composites.pixels import MAX_RATIO, Mask, Photo, mix, where_large

SAMPLES = 2048  # pixels of an object
ENTRIES = 256  # of a table
ROTATIONS = 8
MIN_SLOPE = 0.25
_SMOOTH = 4  # entries either way

Colors = Float[Array, "n 3"]


def distribution(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> Photo:
  """The donor's distribution of colours (Pitie et al. 2007).

  Histograms are matched along the axes of one random rotation after another.
  """
  key_sample, key_rotations = jax.random.split(key)
  samples = _samples(key_sample, photo, mask, donor_photo, donor_mask)

  def match(_, carry):
    key, changed, ours = carry
    key, key_now = jax.random.split(key)
    rotation = _rotation(key_now)
    ours = mix(ours, rotation)
    tables = _tables(ours, mix(samples[1], rotation))
    changed = mix(_apply(tables, mix(changed, rotation)), rotation.T)
    return key, changed, mix(_apply(tables, ours), rotation.T)

  carry = (key_rotations, photo, samples[0])
  _, changed, _ = jax.lax.fori_loop(0, ROTATIONS, match, carry)
  return where_large(changed, photo, mask, donor_mask)


def _samples(
  key: Array, photo: Photo, mask: Mask, donor_photo: Photo, donor_mask: Mask
) -> tuple[Colors, Colors]:
  ours, theirs = jax.random.split(key)
  return _sample(ours, photo, mask), _sample(theirs, donor_photo, donor_mask)


def _sample(key: Array, photo: Photo, mask: Mask) -> Colors:
  """Colours of random pixels inside the mask; of none, of any pixel."""
  places = jnp.cumsum(mask.ravel())
  # Spread over the object: the n-th is in its n-th part.
  parts = jnp.arange(SAMPLES) + jax.random.uniform(key, (SAMPLES,))
  ranks = parts / SAMPLES * places[-1]
  indices = jnp.searchsorted(places, ranks, side="right")
  indices = jnp.minimum(indices, places.size - 1)
  return photo.reshape(-1, 3)[indices]


def _rotation(key: Array) -> Float[Array, "3 3"]:
  """A random one, of a random unit quaternion."""
  q = jax.random.normal(key, (4,))
  w, x, y, z = q / jnp.maximum(jnp.linalg.norm(q), 1e-6)
  return jnp.array(
    [
      [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
      [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
      [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
  )


def _tables(ours: Colors, theirs: Colors) -> tuple[Array, Array, Array]:
  """The change of each channel's value: its lowest value, step and entries."""
  ours, theirs = jnp.sort(ours, axis=0), jnp.sort(theirs, axis=0)
  low, high = ours[0], ours[-1]
  step = jnp.maximum(high - low, 1e-3) / (ENTRIES - 1)
  values = low + step * jnp.arange(ENTRIES)[:, None]
  by_channel = jax.vmap(_matched, in_axes=1, out_axes=1)
  slopes = jnp.diff(by_channel(ours, theirs, values), axis=0) / step
  slopes = jnp.clip(slopes, MIN_SLOPE, MAX_RATIO)
  padded = jnp.pad(slopes, ((_SMOOTH, _SMOOTH), (0, 0)), "edge")
  window = 2 * _SMOOTH + 1
  slopes = sum(padded[i : i + ENTRIES - 1] for i in range(window)) / window
  change = jnp.pad(jnp.cumsum((slopes - 1) * step, axis=0), ((1, 0), (0, 0)))
  # Bounded slopes have moved the mean: it shall be the donor's.
  mean = jnp.mean(_apply((low, step, change), ours), axis=0)
  return low, step, change + jnp.mean(theirs, axis=0) - mean


def _matched(
  ours: Float[Array, "n"], theirs: Float[Array, "n"], values: Float[Array, "e"]
) -> Float[Array, "e"]:
  """The donor's values of the same quantiles; both samples are sorted."""
  # The middle of equal values is their quantile.
  ranks = sum(
    jnp.searchsorted(ours, values, side=side) for side in ("left", "right")
  )
  place = jnp.clip(ranks / 2 - 0.5, 0, SAMPLES - 1)
  whole = jnp.minimum(place.astype(jnp.int32), SAMPLES - 2)
  return theirs[whole] + (place - whole) * (theirs[whole + 1] - theirs[whole])


def _apply(tables: tuple[Array, Array, Array], x: Array) -> Array:
  """`x` [..., 3] with each channel changed; as at the ends beyond them."""
  low, step, entries = tables
  place = jnp.clip((x - low) / step, 0, ENTRIES - 1)
  whole = jnp.minimum(place.astype(jnp.int32), ENTRIES - 2)

  def at(index):
    # Without the checks of bounds, which `whole` has passed.
    return entries.at[index, jnp.arange(3)].get(mode="promise_in_bounds")

  before, after = at(whole), at(whole + 1)
  return x + before + (place - whole) * (after - before)
