"""The weights that the package brings along, by name; or those of a file."""

import hashlib
import os
import pathlib
from collections.abc import Mapping
from importlib import resources

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

# They are pretrained/NAME.safetensors; of each the sha256. weights/README.md is
# their model card.
RELEASED: Mapping[str, str] = {
  "hdnet-lite": (
    "083fef417aa235d1baed4ecdb578b400518b50dd200f56c8656cf4a56696fed9"
  ),
}


def load(name: str | os.PathLike) -> tuple[dict, ModelConfig, dict[str, str]]:
  """What `weights.load` gives, of a released network's name or of a file.

  Raises:
    UserError: where there are none of this name, or they cannot be used.
  """
  if str(name) in RELEASED:
    folder = resources.files("hdnet_jax") / "pretrained"
    with resources.as_file(folder / f"{name}{weights.SUFFIX}") as path:
      _check(path, RELEASED[str(name)])
      return weights.load(path)
  path = pathlib.Path(name)
  if path.is_file() or path.suffix == weights.SUFFIX:
    return weights.load(path)
  raise UserError(
    f"there are no weights {str(name)!r}: it is no file, and released are "
    f"{', '.join(sorted(RELEASED))}; train some with python train.py "
    "--config=configs/quickstart.py --workdir=DIR, and make a file of them "
    f"with hdnet export-weights DIR NAME{weights.SUFFIX}"
  )


def _check(path: pathlib.Path, sha256: str) -> None:
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
