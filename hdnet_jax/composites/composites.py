"""Composites of layers: a truth, and an object that does not fit into it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hdnet_jax.composites import development
from hdnet_jax.composites.color_map import Map, apply_map
from hdnet_jax.composites.distribution import distribution
from hdnet_jax.composites.jpeg import save_as_jpeg
from hdnet_jax.composites.pixels import Mask, Photo
from hdnet_jax.composites.transfer import covariance, reinhard_lab
from hdnet_jax.config import CompositesConfig

class Layers(NamedTuple):
  """What a composite is made of; a batch has a leading axis.

  Floats are in [0, 1].
  """

  background: Photo  # without the object, where that has moved
  object: Photo  # a photo that has it in its place
  alpha: Mask  # how much of each pixel the object covers


def with_composites(
  batch: dict[str, Array],
  keys: Array,
  config: CompositesConfig,
  color_maps: Array | None = None,
) -> dict[str, Array]:
  """Give a batch of layers what batches of composites have.

  Layers become `composite`, `real` and `mask`; a batch that has composites is
  returned.
  """
  if "composite" in batch:
    return batch
  layers = Layers(*(batch[name] for name in Layers._fields))
  donors = None
  if "donor_object" in batch:
    donors = Layers(
      batch["donor_object"], batch["donor_object"], batch["donor_alpha"]
    )
  made = make_composites(keys, layers, config, color_maps, donors)
  return batch | made._asdict()


class Composites(NamedTuple):
  composite: UInt8[Array, "b h w 3"]
  real: UInt8[Array, "b h w 3"]  # the truth
  mask: UInt8[Array, "b h w 1"]  # 1 where the object covers more than half


def make_composites(
  keys: Array,
  layers: Layers,
  config: CompositesConfig,
  color_maps: UInt8[Array, "m n n n 3"] | None = None,
  donors: Layers | None = None,
) -> Composites:
  """Make one composite an example.

  Args:
    keys: a random key an example.
    layers: a batch of uint8.
    color_maps: what `config.color_map` draws from.
    donors: layers whose objects lend their colours; of one photo each, the next
      example by default.
  """
  keys = jax.vmap(lambda key: jax.random.split(key, 4))(keys)
  layers = Layers(*(layer.astype(jnp.float32) / 255 for layer in layers))
  truth, settings = _one_by_one(
    lambda key, layers: _truth(key, layers, config, color_maps),
    keys[:, 0],
    layers,
  )
  if donors is None:
    donors = jax.tree.map(lambda layer: jnp.roll(layer, 1, axis=0), truth)
  else:
    donors = Layers(*(layer.astype(jnp.float32) / 255 for layer in donors))
  changed = _one_by_one(
    lambda *of_example: _changed(*of_example, config, color_maps),
    keys[:, 1],
    layers.object,
    settings,
    truth,
    donors,
  )
  real = jax.vmap(_over)(truth.object, truth)
  composite = jax.vmap(_over)(changed, truth)
  if config.jpeg:
    composite = jax.vmap(lambda key, x: _saved(key, x, config.jpeg))(
      keys[:, 2], composite
    )
  return Composites(
    _to_pixels(composite),
    _to_pixels(real),
    (layers.alpha > 0.5).astype(jnp.uint8),
  )


def _one_by_one(function: Callable, *examples):
  """`vmap`, but on CPUs example by example.

  Under vmap a switch computes every branch for every example. One by one it
  computes the chosen one: on a CPU that is faster, and an accelerator is
  faster with the whole batch at once.
  """
  return jax.lax.platform_dependent(
    *examples,
    cpu=lambda *xs: jax.lax.map(lambda x: function(*x), xs),
    default=lambda *xs: jax.vmap(function)(*xs),
  )


def _truth(key, layers, config, color_maps):
  """The layers as the truth has them, and the settings that made them."""
  key_kind, key_settings, key_map = jax.random.split(key, 3)
  settings = jax.lax.switch(
    _draw(key_kind, (config.as_it_is, config.dull, config.developed)),
    [
      lambda key: development.AS_IT_IS,
      development.draw_dull,
      development.draw_light,
    ],
    key_settings,
  )
  settings = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), settings)
  developed = layers._replace(
    background=development.develop(settings, layers.background),
    object=development.develop(settings, layers.object),
  )
  return developed, settings


def _changed(key, photo, settings, truth, donor, config, color_maps) -> Photo:
  """The object's layer in other colours."""
  key_kind, key_change, key_amount = jax.random.split(key, 3)
  low = config.least_amount
  amount = low + (1 - low) * jax.random.uniform(key_amount)

  def redeveloped(change):
    return lambda key: development.develop(
      development.add(settings, change(key), config.strength * amount), photo
    )

  def blended(change):
    return lambda key: truth.object + amount * (change(key) - truth.object)

  def transferred(transfer):
    return blended(
      lambda key: transfer(
        key, truth.object, truth.alpha, donor.object, donor.alpha
      )
    )

  def mapped(key):
    if color_maps is None:
      return truth.object
    number = jax.random.randint(key, (), 0, color_maps.shape[0])
    return apply_map(color_maps[number], truth.object)

  changes = {
    "nothing": lambda key: truth.object,
    "expert": redeveloped(development.draw_expert),
    "dulled": redeveloped(development.draw_dull),
    "light": redeveloped(development.draw_light),
    "covariance": transferred(covariance),
    "reinhard": transferred(reinhard_lab),
    "color_map": blended(mapped),
    "distribution": transferred(distribution),
  }
  weights = [getattr(config, name) for name in changes]
  used = [(w, c) for w, c in zip(weights, changes.values()) if w]
  if len(used) == 1:
    return used[0][1](key_change)
  kind = _draw(key_kind, [w for w, _ in used])
  return jax.lax.switch(kind, [c for _, c in used], key_change)


def _draw(key: Array, weights) -> Array:
  """A place in `weights`, by their shares."""
  bounds = jnp.cumsum(jnp.array(weights, jnp.float32))
  return jnp.searchsorted(
    bounds, jax.random.uniform(key) * bounds[-1], side="right"
  )


def _over(photo: Photo, layers: Layers) -> Photo:
  return layers.background + layers.alpha * (photo - layers.background)


def _saved(key: Array, photo: Photo, share: float) -> Photo:
  key_whether, key_quality = jax.random.split(key)
  quality = jax.random.uniform(key_quality, minval=70.0, maxval=97.0)
  return jnp.where(
    jax.random.bernoulli(key_whether, share),
    save_as_jpeg(photo, quality),
    photo,
  )


def _to_pixels(photo: Float[Array, "*s"]) -> UInt8[Array, "*s"]:
  return jnp.round(255 * photo).astype(jnp.uint8)
