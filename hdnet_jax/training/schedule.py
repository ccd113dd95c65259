"""When things happen in a run: epochs as steps, and the learning rate."""

import dataclasses
import math

import optax

from hdnet_jax.config import Config, OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Plan:
  """The steps at which a run changes, counted from 0."""

  total: int  # steps of the run
  half_size: int  # the first step that sees images of full size
  boundaries: tuple[int, ...]  # the first step after each fall of the rate

  def before(self, step: int) -> "Plan":
    """Return the part of the plan that the steps before `step` follow."""
    return Plan(
      min(self.total, step),
      min(self.half_size, step),
      tuple(boundary for boundary in self.boundaries if boundary < step),
    )


def make_plan(config: Config, steps_per_epoch: float) -> Plan:
  return Plan(
    math.ceil(config.epochs * steps_per_epoch),
    round(config.training.half_size_epochs * steps_per_epoch),
    _boundaries(config.optimizer, steps_per_epoch),
  )


def replace_plan(config: Config, other: Config) -> Config:
  """Return `config` with the plan's settings from `other`."""
  optimizer = dataclasses.replace(
    config.optimizer, boundaries=other.optimizer.boundaries
  )
  training = dataclasses.replace(
    config.training, half_size_epochs=other.training.half_size_epochs
  )
  return dataclasses.replace(
    config, epochs=other.epochs, optimizer=optimizer, training=training
  )


def make_schedule(
  config: OptimizerConfig, steps_per_epoch: float
) -> optax.Schedule:
  """Return the learning rate by step, times `decay` from each boundary on."""
  scales: dict[int, float] = {}
  for step in _boundaries(config, steps_per_epoch):
    scales[step] = scales.get(step, 1.0) * config.decay
  return optax.piecewise_constant_schedule(config.learning_rate, scales)


def _boundaries(
  config: OptimizerConfig, steps_per_epoch: float
) -> tuple[int, ...]:
  return tuple(round(epoch * steps_per_epoch) for epoch in config.boundaries)
