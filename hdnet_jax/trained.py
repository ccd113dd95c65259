"""A trained network, wherever it is: released, in a file, in a run's folder."""

import os
import pathlib
from collections.abc import Mapping

from hdnet_jax import released
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

IMAGE_SIZE = 256  # that networks are trained at where nothing tells


def find(name: str | os.PathLike) -> tuple[Mapping, ModelConfig, int]:
  """Parameters, their network, and the image size that it was trained at.

  Args:
    name: a released network, a weights file, or a training's workdir, whose
      last checkpoint is taken.

  Raises:
    UserError: where there is no such thing, or it cannot be used.
  """
  if pathlib.Path(name).is_dir() and str(name) not in released.RELEASED:
    # Only here, for it loads the libraries of the training.
    from hdnet_jax.training.checkpoint import restore_params

    params, config, _ = restore_params(pathlib.Path(name), "last")
    return params, config.model, config.data.image_size
  params, model, provenance = released.load(name)
  size = str(provenance.get("image_size", IMAGE_SIZE))
  if not size.isdecimal():
    raise UserError(
      f"{name} tells of image_size={size!r}, which is no size; export it again"
    )
  return params, model, int(size)
