"""Trained weights by name: the package's own, a file's, a training's."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from importlib import resources

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

IMAGE_SIZE = 256  # that networks are trained at where nothing tells

# The weights that the package brings along, as pretrained/NAME.safetensors: of
# each the sha256. weights/README.md is their model card.
RELEASED: Mapping[str, str] = {
  "hdnet-lite": (
    "083fef417aa235d1baed4ecdb578b400518b50dd200f56c8656cf4a56696fed9"
  ),
}


def find(name: str | os.PathLike) -> tuple[Mapping, ModelConfig, int]:
  """Parameters, their network, and the image size that it was trained at."""
  path = pathlib.Path(name)
  if str(name) in RELEASED:
    file = (
      resources.files("hdnet_jax") / "pretrained" / f"{name}{weights.SUFFIX}"
    )
    with resources.as_file(file) as path:
      _check_released(path, RELEASED[str(name)])
      params, model, provenance = weights.load(path)
  elif path.is_dir():
    return _restore(path)
  elif path.is_file() or path.suffix == weights.SUFFIX:
    params, model, provenance = weights.load(path)
  else:
    raise UserError(_say_missing(name))
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


def _check_released(path: pathlib.Path, sha256: str) -> None:
  if path.is_file():
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found == sha256:
      return
    fault = f"has the sha256 {found}, not {sha256}"
  else:
    fault = "is missing"
  raise UserError(
    f"{path}, a part of this package, {fault}; install hdnet-jax again"
  )


def _say_missing(name: str | os.PathLike) -> str:
  return (
    f"there are no weights {str(name)!r}: it is no file or workdir, and "
    f"released are {', '.join(sorted(RELEASED))}; train some with python "
    "train.py --config=configs/quickstart.py --workdir=DIR and give DIR, or "
    f"the file that hdnet export-weights DIR NAME{weights.SUFFIX} makes of it"
  )
