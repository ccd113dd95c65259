"""Trained weights that a run starts from: fine-tuning."""

import pathlib

from hdnet_jax import weights
from hdnet_jax.config import Config
from hdnet_jax.distributed import of_main
from hdnet_jax.errors import UserError
from hdnet_jax.training.checkpoint_folder import newest_step


def initial_params(config: Config, workdir: pathlib.Path) -> dict | None:
  """The float32 NumPy parameters of config.training.initial_weights.

  Returns:
    None where the start is random, or is past: a run with a checkpoint is
    continued from that, and needs the file no more.

  Raises:
    UserError: where there are no such weights, or of another network.
  """
  name = config.training.initial_weights
  if not name or of_main(lambda: newest_step(workdir)):
    return None
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
