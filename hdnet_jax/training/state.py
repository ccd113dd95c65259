"""All that a run carries from one step to the next."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from hdnet_jax.config import Config, ModelConfig, OptimizerConfig
from hdnet_jax.devices import replicated
from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.training.schedule import boundary_steps


@flax.struct.dataclass
class TrainState:
  """The state after `step` steps. `key` never changes: steps fold into it."""

  step: jax.Array  # int32 []
  params: dict
  opt_state: optax.OptState
  key: jax.Array  # a typed random key
  ema: dict | None = None  # running mean of params; None where it is off

  @property
  def evaluated(self) -> dict:
    """The parameters that evaluation uses."""
    return self.params if self.ema is None else self.ema

  def starting_from(self, params: dict) -> "TrainState":
    """This state before its first step, with `params` (its shapes, NumPy)."""
    place = jax.tree.map(lambda leaf: leaf.sharding, self.params)
    params = jax.device_put(params, place)
    # A copy: the step gives away the memory of both.
    ema = None if self.ema is None else jax.tree.map(jnp.copy, params)
    return self.replace(params=params, ema=ema)


def make_model(config: ModelConfig) -> HDNet:
  return HDNet(**dataclasses.asdict(config))


def make_schedule(
  config: OptimizerConfig, steps_per_epoch: float
) -> optax.Schedule:
  """The learning rate of a step: `decay` times less at each boundary."""
  scales: dict[int, float] = {}
  for step in boundary_steps(config, steps_per_epoch):
    scales[step] = scales.get(step, 1.0) * config.decay
  return optax.piecewise_constant_schedule(config.learning_rate, scales)


def make_optimizer(
  config: OptimizerConfig, steps_per_epoch: float
) -> optax.GradientTransformation:
  schedule = make_schedule(config, steps_per_epoch)
  return optax.adam(schedule, b1=config.beta1, b2=config.beta2)


def initial_state(
  config: Config, optimizer: optax.GradientTransformation
) -> TrainState:
  """The state before the first step; the same for the same seed."""
  init_key, _ = jax.random.split(jax.random.key(config.seed))
  # Parameters do not depend on the image's size.
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  params = make_model(config.model).init(init_key, image, mask)["params"]
  ema = jax.tree.map(jnp.copy, params) if config.training.ema_decay else None
  return TrainState(
    jnp.int32(0), params, optimizer.init(params), random_key(config), ema
  )


def random_key(config: Config) -> jax.Array:
  """The run's key, which steps fold into."""
  return jax.random.split(jax.random.key(config.seed))[1]


def make_start(
  config: Config, optimizer: optax.GradientTransformation, mesh: Mesh
) -> Callable[[], TrainState]:
  """`initial_state`, jitted, with its arrays on the mesh."""
  return jax.jit(
    lambda: initial_state(config, optimizer),
    out_shardings=replicated(mesh),
    # It runs once: XLA's CPU compiler spends ten seconds on the many random
    # draws of the parameters, which run in an instant without it.
    compiler_options={"xla_backend_optimization_level": 0}
    if mesh.devices.flat[0].platform == "cpu"
    else None,
  )


def update_ema(ema: dict, params: dict, step: jax.Array, decay: float) -> dict:
  """The running mean after `step` (0, 1, ...) has made `params`.

  The decay is lower at first, (1 + step) / (10 + step), so that the mean soon
  forgets the random start.
  """
  decay = jnp.minimum(decay, (1 + step) / (10 + step))
  return optax.incremental_update(params, ema, 1 - decay)


def abstract_state(start: Callable[[], TrainState], mesh: Mesh) -> TrainState:
  """The shapes of `start()`, placed on the mesh; nothing is computed."""
  place = replicated(mesh)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
    jax.eval_shape(start),
  )


def stored(state: TrainState) -> dict[str, Any]:
  """The state as checkpoints hold it: a typed random key by its numbers."""
  if isinstance(state.key, jax.ShapeDtypeStruct):
    key = jax.eval_shape(jax.random.key_data, state.key)
    key = key.update(sharding=state.key.sharding)
  else:
    key = jax.random.key_data(state.key)
  values = {
    "step": state.step,
    "params": state.params,
    "opt_state": state.opt_state,
    "key": key,
  }
  return values if state.ema is None else {**values, "ema": state.ema}


def blank(like: TrainState) -> dict[str, Any]:
  """NumPy arrays of the shapes of `stored(like)`."""
  return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), stored(like))


def placed(values: dict[str, Any], like: TrainState) -> TrainState:
  """The state of stored NumPy values, with the shardings of `like`."""
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
