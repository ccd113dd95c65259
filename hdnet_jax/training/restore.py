"""The parameters of a training run, from its folder."""

import pathlib
from typing import Any

from jax.sharding import Mesh

from hdnet_jax import devices
from hdnet_jax.config import Config, MeshConfig
from hdnet_jax.distributed import of_main
from hdnet_jax.errors import UserError
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.state import (
  abstract_state,
  initial_state,
  make_optimizer,
)


def restore_params(
  workdir: pathlib.Path, which: str, mesh: Mesh | None = None
) -> tuple[dict, Config, int]:
  """The parameters that evaluation uses, the run's config, and their step.

  Args:
    which: "last", or "best" on the validation split.
    mesh: where the parameters go; all devices by default.

  Raises:
    UserError: where there is no such run or checkpoint, or it is damaged.
  """
  values = of_main(lambda: _values_of(workdir))
  if values is None:
    raise UserError(f"{workdir} holds no run; train one with train.py")
  config = Config.from_dict(values)
  mesh = mesh or devices.make_mesh(MeshConfig())
  # The optimizer's shapes do not depend on its schedule.
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1.0)
  like = abstract_state(lambda: initial_state(config, optimizer), mesh)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    steps = checkpoints.steps()
    step = checkpoints.best() if which == "best" else max(steps, default=None)
    if step is None:
      raise UserError(
        f"{checkpoints.directory} has no {which} checkpoint yet; train longer"
      )
    return checkpoints.restore(step, like).evaluated, config, step


def _values_of(workdir: pathlib.Path) -> dict[str, Any] | None:
  config = workdirs.read_config(workdir)
  return None if config is None else config.to_dict()
