"""Parameters of a run's checkpoint, or those that a run starts from."""

import pathlib
from typing import Any

from jax.sharding import Mesh

from hdnet_jax import devices, weights
from hdnet_jax.config import Config, MeshConfig
from hdnet_jax.distributed import run_on_main
from hdnet_jax.errors import UserError
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.state import abstract_state, make_optimizer, make_start


def restore_params(
  workdir: pathlib.Path, which: str, mesh: Mesh | None = None
) -> tuple[dict, Config, int]:
  """Restore the parameters that evaluation uses, the run's config, the step.

  Args:
    which: "last", or "best" on the validation split.
    mesh: where the parameters go; all devices by default.

  Raises:
    UserError: where there is no such run or checkpoint, or it is damaged.
  """

  def read_config() -> dict[str, Any]:
    config = workdirs.read_config(workdir)
    if config is None:
      raise UserError(f"{workdir} holds no run; train one with hdnet train")
    return config.to_dict()

  config = Config.from_dict(run_on_main(read_config))
  mesh = mesh or devices.make_mesh(MeshConfig())
  # The optimizer's shapes do not depend on its schedule.
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1.0)
  like = abstract_state(make_start(config, optimizer, mesh), mesh)
  with Checkpoints(workdir, read_only=True) as checkpoints:
    steps = checkpoints.steps()
    step = checkpoints.best() if which == "best" else max(steps, default=None)
    if step is None:
      raise UserError(
        f"{checkpoints.directory} has no {which} checkpoint yet; train longer"
      )
    return checkpoints.restore(step, like).eval_params, config, step


def load_initial_params(config: Config) -> dict:
  """Load config.training.initial_weights: float32 NumPy parameters.

  Raises:
    UserError: where there are no such weights, or they are of another network.
  """
  name = config.training.initial_weights
  params, model, _ = weights.load(name)
  differing = [
    f"config.model.{field}={getattr(model, field)!r}"
    for field in weights.NETWORK
    if getattr(model, field) != getattr(config.model, field)
  ]
  if differing:
    raise UserError(
      f"config.training.initial_weights={name!r} are of another network than "
      f"config.model; start from others, or set {', '.join(differing)}"
    )
  return params
