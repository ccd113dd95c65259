"""The state of a run: parameters, optimizer, random key."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hdnet_jax.config import Config, ModelConfig, OptimizerConfig
from hdnet_jax.devices import replicated
from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.training.schedule import make_schedule


@flax.struct.dataclass
class TrainState:
  """The state after `step` steps. `key` is fixed: `step` is folded into it."""

  step: jax.Array  # int32 []
  params: dict
  opt_state: optax.OptState
  key: jax.Array  # a typed random key
  ema: dict | None = None  # running mean of params; None where it is off

  @property
  def eval_params(self) -> dict:
    """The parameters that evaluation uses."""
    return self.params if self.ema is None else self.ema

  def with_params(self, params: dict) -> "TrainState":
    """Return this state, before its first step, with NumPy `params`."""
    place = jax.tree.map(lambda leaf: leaf.sharding, self.params)
    params = jax.device_put(params, place)
    # A copy, because the train step donates the memory of both.
    ema = None if self.ema is None else jax.tree.map(jnp.copy, params)
    return dataclasses.replace(self, params=params, ema=ema)


def make_model(config: ModelConfig) -> HDNet:
  return HDNet(**dataclasses.asdict(config))


@functools.cache  # equal settings share one optimizer, and compiled programs
def make_optimizer(
  config: OptimizerConfig, steps_per_epoch: float
) -> optax.GradientTransformation:
  schedule = make_schedule(config, steps_per_epoch)
  return optax.adam(schedule, b1=config.beta1, b2=config.beta2)


def initial_state(
  config: Config, optimizer: optax.GradientTransformation
) -> TrainState:
  """Return the state before the first step; equal seeds give equal states."""
  init_key, _ = jax.random.split(jax.random.key(config.seed))
  # Parameters do not depend on the image's size.
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  params = dict(make_model(config.model).init(init_key, image, mask)["params"])
  ema = jax.tree.map(jnp.copy, params) if config.training.ema_decay else None
  return TrainState(
    jnp.int32(0), params, optimizer.init(params), random_key(config), ema
  )


def random_key(config: Config) -> jax.Array:
  """Return the run's key, into which each step folds its number."""
  return jax.random.split(jax.random.key(config.seed))[1]


def without_schedule(config: Config) -> Config:
  """Return `config` with defaults for settings that no compiled program uses.

  Configs that are equal then share their programs. A setting that is missing
  here costs a compilation, and nothing else.
  """
  default = Config()
  names = ("name", "epochs", "log_every", "eval_every", "save_every", "keep")
  return dataclasses.replace(
    config,
    **{name: getattr(default, name) for name in names},
    data=dataclasses.replace(config.data, root="", threads=1, workers=0),
    training=dataclasses.replace(
      config.training, half_size_epochs=0.0, initial_weights=""
    ),
  )


def make_start(
  config: Config, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[], TrainState]:
  """Return `initial_state`, jitted, with its arrays on the mesh."""
  return _make_start(without_schedule(config), optimizer, mesh)


@functools.lru_cache(maxsize=8)
def _make_start(
  config: Config, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[], TrainState]:
  return jax.jit(
    lambda: initial_state(config, optimizer),
    out_shardings=replicated(mesh),
    # It runs once, and optimizing the random draws takes ten seconds on CPUs.
    compiler_options={"xla_backend_optimization_level": 0}
    if mesh.devices.flat[0].platform == "cpu"
    else None,
  )


def update_ema(ema: dict, params: dict, step: jax.Array, decay: float) -> dict:
  """Update the running mean with the `params` of step 0, 1, ...

  The decay is at most (1 + step) / (10 + step): the mean soon forgets the
  random start.
  """
  share = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
  return cast(dict, optax.incremental_update(params, ema, share))


def abstract_state(start: Callable[[], TrainState], mesh: Mesh) -> TrainState:
  """Return the shapes and shardings of `start()` without computing it."""
  place = replicated(mesh)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
    jax.eval_shape(start),
  )


def stored(state: TrainState) -> dict[str, Any]:
  """Return the state as checkpoints hold it: the random key as numbers."""
  if isinstance(state.key, jax.ShapeDtypeStruct):
    key = jax.eval_shape(jax.random.key_data, state.key)
    key = key.update(sharding=state.key.sharding)
  else:
    key = jax.random.key_data(state.key)
  values = {**vars(state), "key": key}
  return {name: x for name, x in values.items() if x is not None}


def placed(values: dict[str, Any], like: TrainState) -> TrainState:
  """Return the state of stored NumPy values, with the shardings of `like`."""
  arrays = jax.tree.map(
    lambda value, x: jax.make_array_from_callback(
      x.shape, x.sharding, lambda index: value[index]
    ),
    values,
    stored(like),
  )
  return TrainState(
    **{**arrays, "key": jax.random.wrap_key_data(arrays["key"])}
  )
