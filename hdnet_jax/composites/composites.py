"""Composites of layers: a truth, and an object that does not fit into it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from hdnet_jax.composites import development, transfer
from hdnet_jax.composites.color_map import Maps, apply_map
from hdnet_jax.composites.development import Mask, Photo, Settings
from hdnet_jax.composites.jpeg import save_as_jpeg
from hdnet_jax.config import CHANGES, TRUTHS, CompositesConfig


class Layers(NamedTuple):
  """What composites are made of; uint8, or float32 in [0, 1]."""

  background: Array  # [B, H, W, 3], without the object where that has moved
  object: Array  # [B, H, W, 3], a photo that has the object in its place
  alpha: Array  # [B, H, W, 1], how much of each pixel the object covers


class Composites(NamedTuple):
  composite: UInt8[Array, "b h w 3"]
  real: UInt8[Array, "b h w 3"]  # the truth
  mask: UInt8[Array, "b h w 1"]  # 1 where the object covers more than half


def with_composites(
  batch: Mapping[str, Array],
  keys: Array,
  config: CompositesConfig,
  color_maps: Maps | None = None,
) -> dict[str, Array]:
  """Add `composite`, `real` and `mask` to a batch that lacks them.

  Args:
    batch: Examples, or their layers. `donor_object` and `donor_alpha`, if
      there, are the `donors` of `make_composites`.
    keys, config, color_maps: see `make_composites`.
  """
  if "composite" in batch:
    return dict(batch)
  layers = Layers(*(batch[name] for name in Layers._fields))
  donors = None
  if "donor_object" in batch:
    donors = batch["donor_object"], batch["donor_alpha"]
  composites = make_composites(keys, layers, config, color_maps, donors)
  return {**batch, **composites._asdict()}


def make_composites(
  keys: Array,
  layers: Layers,
  config: CompositesConfig,
  color_maps: Maps | None = None,
  donors: tuple[Array, Array] | None = None,
) -> Composites:
  """Make one composite an example.

  Args:
    keys: a random key an example.
    layers: a batch of uint8.
    color_maps: the tables that `config.color_map` draws from.
    donors: photos and alphas of the objects that lend their colours. By default
      each example takes the colours of the one before it in the batch; a batch
      of one, those of its own background.
  """
  # Three of the four are used; a split in three would change the composites.
  keys = jax.vmap(lambda key: jax.random.split(key, 4))(keys)
  layers = Layers(*(layer.astype(jnp.float32) / 255 for layer in layers))
  settings = jax.vmap(lambda key: _draw_truth(key, config))(keys[:, 0])
  truth = _one_by_one(_develop_layers, settings, layers)
  if donors is not None:
    photo, alpha = (layer.astype(jnp.float32) / 255 for layer in donors)
  elif len(truth.alpha) > 1:
    photo, alpha = (jnp.roll(x, 1, axis=0) for x in (truth.object, truth.alpha))
  else:
    photo, alpha = truth.background, 1 - truth.alpha
  # Drawn here: in the loop over examples XLA would draw them for every pixel.
  change = jax.vmap(lambda key, of_truth: _draw_change(key, of_truth, config))(
    keys[:, 1], settings
  )
  changed = _one_by_one(
    lambda *of_example: _changed(
      *of_example, config=config, color_maps=color_maps
    ),
    change,
    layers.object,
    truth,
    (photo, alpha),
  )
  real = jax.vmap(_over)(truth.object, truth)
  composite = jax.vmap(_over)(changed, truth)
  if config.jpeg:
    composite = _one_by_one(
      lambda key, x: _saved(key, x, config.jpeg), keys[:, 2], composite
    )
  return Composites(
    _to_pixels(composite),
    _to_pixels(real),
    (layers.alpha > 0.5).astype(jnp.uint8),
  )


def _one_by_one(function: Callable, *examples: Any) -> Any:
  """Map `function` over examples, in a loop on CPUs and by vmap elsewhere.

  Under vmap a switch computes every branch for every example. A loop computes
  the chosen branch only, which is faster on CPUs and slower on accelerators.
  """
  return jax.lax.platform_dependent(
    *examples,
    cpu=lambda *xs: jax.lax.map(lambda x: function(*x), xs),
    default=lambda *xs: jax.vmap(function)(*xs),
  )


class _Choice(NamedTuple):
  """One of several makers, which are functions of a key, and a key for each."""

  place: Array  # [], index of the chosen maker
  # Raw key data, since vmap copies the operands of a switch, which JAX would
  # take for another use of a key.
  keys: Array  # [makers, n]


class _Change(NamedTuple):
  """What happens to an object: one of CHANGES."""

  choice: _Choice
  amount: Array  # []
  settings: Settings  # of a development; else the truth's


DEVELOPMENTS = {
  "expert": development.draw_expert,
  "dulled": development.draw_dull,
  "light": development.draw_light,
}
TRANSFERS = {
  "covariance": transfer.covariance,
  "reinhard": transfer.reinhard_lab,
  "distribution": transfer.distribution,
}


def _draw_truth(key: Array, config: CompositesConfig) -> Settings:
  """Draw the development of the truth."""
  truths = {
    "as_it_is": lambda key: development.AS_IT_IS,
    "dull": development.draw_dull,
    "developed": development.draw_light,
  }
  return _one_of(_choose(key, TRUTHS, config), TRUTHS, truths, config)


def _develop_layers(settings: Settings, layers: Layers) -> Layers:
  return layers._replace(
    background=development.develop(settings, layers.background),
    object=development.develop(settings, layers.object),
  )


def _draw_change(
  key: Array, truth: Settings, config: CompositesConfig
) -> _Change:
  """Draw one of CHANGES; developments add to the truth's settings."""
  key_change, key_amount = jax.random.split(key)
  low = config.least_amount
  amount = low + (1 - low) * jax.random.uniform(key_amount)
  choice = _choose(key_change, CHANGES, config)

  def added(draw: Callable[[Array], Settings]) -> Callable[[Array], Settings]:
    return lambda key: development.add(
      truth, draw(key), config.strength * amount
    )

  settings = {name: lambda key: truth for name in CHANGES}
  settings |= {name: added(draw) for name, draw in DEVELOPMENTS.items()}
  return _Change(choice, amount, _one_of(choice, CHANGES, settings, config))


def _changed(
  change: _Change,
  photo: Photo,
  truth: Layers,
  donor: tuple[Photo, Mask],
  config: CompositesConfig,
  color_maps: Maps | None,
) -> Photo:
  """Change the colours of the object's layer.

  Developments start from the photo as it is, other changes from the truth.
  """

  def blended(method: Callable[[Array], Photo]) -> Callable[[Array], Photo]:
    return lambda key: (
      truth.object + change.amount * (method(key) - truth.object)
    )

  def transferred(method: Callable) -> Callable[[Array], Photo]:
    own = transfer.Object(truth.object, truth.alpha)
    return blended(lambda key: method(key, own, transfer.Object(*donor)))

  def mapped(key: Array) -> Photo:
    if color_maps is None:
      raise ValueError("color_map needs color_maps")
    number = jax.random.randint(key, (), 0, color_maps.shape[0])
    # NumPy arrays take no traced index.
    return apply_map(jnp.asarray(color_maps)[number], truth.object)

  def developed(key: Array) -> Photo:
    del key  # drawn already
    return development.develop(change.settings, photo)

  changes = {
    "nothing": lambda key: truth.object,
    "color_map": blended(mapped),
    **dict.fromkeys(DEVELOPMENTS, developed),
    **{name: transferred(method) for name, method in TRANSFERS.items()},
  }
  return _one_of(change.choice, CHANGES, changes, config)


def _choose(
  key: Array, names: tuple[str, ...], config: CompositesConfig
) -> _Choice:
  """Choose one of the names by their shares in `config`."""
  used = _used(names, config)
  bounds = jnp.cumsum(jnp.array(list(used.values()), jnp.float32))
  key, *keys = jax.random.split(key, len(used) + 1)
  place = jnp.searchsorted(
    bounds, jax.random.uniform(key) * bounds[-1], side="right"
  )
  return _Choice(place, jnp.stack([jax.random.key_data(key) for key in keys]))


def _one_of(
  choice: _Choice,
  names: tuple[str, ...],
  makers: Mapping[str, Callable[[Array], Any]],
  config: CompositesConfig,
) -> Any:
  """Call the chosen maker with its key; `names` are as given to `_choose`."""

  def branch(maker: Callable[[Array], Any], key: Array) -> Callable[[], Any]:
    return lambda: maker(jax.random.wrap_key_data(key))

  branches = [
    branch(makers[name], choice.keys[place])
    for place, name in enumerate(_used(names, config))
  ]
  return jax.lax.switch(choice.place, branches)


def _used(names: tuple[str, ...], config: CompositesConfig) -> dict[str, float]:
  """Return the shares above 0."""
  shares = {name: getattr(config, name) for name in names}
  return {name: share for name, share in shares.items() if share}


def _over(photo: Photo, layers: Layers) -> Photo:
  return layers.background + layers.alpha * (photo - layers.background)


def _saved(key: Array, photo: Photo, share: float) -> Photo:
  key_whether, key_quality = jax.random.split(key)
  quality = jax.random.uniform(key_quality, minval=70.0, maxval=97.0)
  return jax.lax.cond(
    jax.random.bernoulli(key_whether, share),
    lambda: save_as_jpeg(photo, quality),
    lambda: photo,
  )


def _to_pixels(photo: Float[Array, "*s"]) -> UInt8[Array, "*s"]:
  return jnp.round(255 * photo).astype(jnp.uint8)
