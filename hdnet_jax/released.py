"""Trained weights by name: the package's own, a file's, a training's."""

import contextlib
import os
import pathlib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

IMAGE_SIZE = 256  # that networks are trained at where nothing tells


def find(name: str | os.PathLike) -> tuple[Mapping, ModelConfig, int]:
  """Parameters, their network, and the image size that it was trained at."""
  released = _released()
  path = pathlib.Path(name)
  with contextlib.ExitStack() as stack:
    if str(name) in released:
      file = released[str(name)]
      path = stack.enter_context(resources.as_file(file))
    elif path.is_dir():
      return _restore(path)
    elif not path.is_file() and path.suffix != weights.SUFFIX:
      raise UserError(_say_missing(name, released))
    params, model, provenance = weights.load(path)
  size = provenance.get("image_size", str(IMAGE_SIZE))
  if not str(size).isdecimal():
    raise UserError(
      f"{path} tells of image_size={size!r}, which is no size; export it again"
    )
  return params, model, int(size)


def _restore(workdir: pathlib.Path) -> tuple[Mapping, ModelConfig, int]:
  # Only here, for it loads the libraries of the training.
  from hdnet_jax.training.restore import restore_params

  params, config, _ = restore_params(workdir, "last")
  return params, config.model, config.data.image_size


def _released() -> dict[str, Any]:
  """The weights files that the package brings along, by name."""
  folder = resources.files("hdnet_jax") / "pretrained"
  if not folder.is_dir():
    return {}
  return {
    file.name.removesuffix(weights.SUFFIX): file
    for file in folder.iterdir()
    if file.name.endswith(weights.SUFFIX)
  }


def _say_missing(name: str | os.PathLike, released: Iterable[str]) -> str:
  names = ", ".join(sorted(released))
  known = f"released are {names}" if names else "none are released yet"
  return (
    f"there are no weights {str(name)!r}: it is no file or workdir, and {known}"
    "; train some with python train.py --config=configs/quickstart.py "
    "--workdir=DIR and give DIR, or the file that hdnet export-weights DIR "
    f"NAME{weights.SUFFIX} makes of it"
  )
