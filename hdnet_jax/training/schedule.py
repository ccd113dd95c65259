"""When what happens in a run: a config's epochs as steps."""

import dataclasses
import math

from hdnet_jax.config import Config, OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Plan:
  """Steps are counted from 0."""

  total: int  # steps of the run
  half_size: int  # the first step that sees images of full size
  boundaries: tuple[int, ...]  # the first step after each fall of the rate

  def until(self, step: int) -> "Plan":
    """What those before `step` have seen of it."""
    return Plan(
      min(self.total, step),
      min(self.half_size, step),
      tuple(boundary for boundary in self.boundaries if boundary < step),
    )


def make_plan(config: Config, steps_per_epoch: float) -> Plan:
  return Plan(
    math.ceil(config.epochs * steps_per_epoch),
    round(config.training.half_size_epochs * steps_per_epoch),
    boundary_steps(config.optimizer, steps_per_epoch),
  )


def boundary_steps(
  config: OptimizerConfig, steps_per_epoch: float
) -> tuple[int, ...]:
  return tuple(round(epoch * steps_per_epoch) for epoch in config.boundaries)


def replanned(config: Config, other: Config) -> Config:
  """The config with the plan of another one."""
  optimizer = dataclasses.replace(
    config.optimizer, boundaries=other.optimizer.boundaries
  )
  training = dataclasses.replace(
    config.training, half_size_epochs=other.training.half_size_epochs
  )
  return dataclasses.replace(
    config, epochs=other.epochs, optimizer=optimizer, training=training
  )
