"""All that a run carries from one step to the next."""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hdnet_jax.config import Config, ModelConfig, OptimizerConfig
from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.sharding import replicated


@flax.struct.dataclass
class TrainState:
  """The state after `step` steps. `key` never changes: steps fold into it."""

  step: jax.Array  # int32 []
  params: dict
  opt_state: optax.OptState
  key: jax.Array  # a typed random key


def make_model(config: ModelConfig) -> HDNet:
  return HDNet(**dataclasses.asdict(config))


def make_schedule(
  config: OptimizerConfig, steps_per_epoch: float
) -> optax.Schedule:
  """The learning rate of a step: `decay` times less at each boundary."""
  scales: dict[int, float] = {}
  for epoch in config.boundaries:
    step = round(epoch * steps_per_epoch)
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
  init_key, key = jax.random.split(jax.random.key(config.seed))
  # Parameters do not depend on the image's size.
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  params = make_model(config.model).init(init_key, image, mask)["params"]
  return TrainState(jnp.int32(0), params, optimizer.init(params), key)


def abstract_state(start: Callable[[], TrainState], mesh: Mesh) -> TrainState:
  """The shapes of `start()`, placed on the mesh; nothing is computed."""
  place = replicated(mesh)
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
    jax.eval_shape(start),
  )
