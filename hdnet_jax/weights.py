"""Weights: by a released name, from a safetensors file or a run's folder.

In a file, tensors are named by their path, such as "x1/conv/kernel". The
metadata holds `format`, `model` (the settings that define the network) and
`provenance` (where the parameters come from), both as JSON. Reading a file runs
none of its code.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Literal, NamedTuple

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

import hdnet_jax
from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.errors import UserError, missing_libraries_told
from hdnet_jax.weights_checks import (
  FORMAT,
  NETWORK,
  check_format,
  few,
  find_faults,
  flatten,
  read_json,
  read_model,
  unflatten,
)

SUFFIX = ".safetensors"
# The file in a run's folder. A run that continues removes an old one.
OF_RUN = f"hdnet{SUFFIX}"
IMAGE_SIZE = 256  # assumed where the provenance names none


class Released(NamedTuple):
  """A weights file of this package; weights/README.md is its model card."""

  path: pathlib.Path
  sha256: str


RELEASED = {
  "hdnet-lite": Released(
    pathlib.Path(__file__).with_name("pretrained") / "hdnet-lite.safetensors",
    "f4b1eaf817afe7a2e7f519409c17f69a962ca1b5f923891540e149e353d3cc9f",
  )
}


class Weights(NamedTuple):
  """A trained network.

  Attributes:
    params: the nested "params" of `HDNet`, float32 NumPy arrays.
    model: the settings of the network.
    provenance: where the parameters come from, in words.
  """

  params: dict
  model: ModelConfig
  provenance: dict[str, str]

  @property
  def image_size(self) -> int:
    """Side of the square images that the network was trained on."""
    return int(self.provenance.get("image_size", IMAGE_SIZE))


def load(name: str | os.PathLike[str]) -> Weights:
  """Load the weights of a name, a file or a run.

  Args:
    name: a released network, such as "hdnet-lite"; a .safetensors file; or a
      run's folder, whose best checkpoint is taken if the run has ended, and
      else its last one.

  Raises:
    UserError: where there are no such weights; where they are damaged, or of
      another program or a newer version; where the tensors do not fit the
      network.
  """
  path = pathlib.Path(name)
  if str(name) in RELEASED:
    path = _released_file(RELEASED[str(name)])
  elif path.is_dir():
    if not (path / OF_RUN).is_file():
      return _load_checkpoint(path)
    path /= OF_RUN
  elif path.suffix == SUFFIX and not path.is_file():
    raise UserError(
      f"{path} is no file; write one with hdnet export-weights WORKDIR {path}"
    )
  elif not path.is_file():
    raise UserError(
      f"there are no weights {str(name)!r}: it is no file, and released are "
      f"{', '.join(sorted(RELEASED))}; train some with hdnet train "
      "--config=quickstart --workdir=DIR, and make a file of them "
      f"with hdnet export-weights DIR NAME{SUFFIX}"
    )
  return _load_file(path)


def save(
  path: pathlib.Path,
  params: Mapping,
  model: ModelConfig,
  provenance: Mapping[str, str] | None = None,
  dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
  """Write a weights file; equal input makes equal bytes.

  Args:
    path: ends in .safetensors; an existing file is replaced.
    params, model, provenance: as of `Weights`.
    dtype: of the stored tensors; bfloat16 halves the file and keeps 8 bits.

  Raises:
    UserError: where the parameters do not fit the model, or are not finite as
      they would be stored.
  """
  path = pathlib.Path(path)
  check_name(path)
  stored = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16}[dtype]
  arrays = {
    name: np.asarray(leaf).astype(stored, order="C")
    for name, leaf in flatten(params).items()
  }
  if faults := find_faults(arrays, model):
    raise UserError(
      f"{path} is not written, for a parameter is unfit ({faults}); use another"
      " checkpoint"
    )
  settings = {name: getattr(model, name) for name in NETWORK}
  metadata = {
    "format": FORMAT,
    "model": json.dumps(settings, sort_keys=True),
    "provenance": json.dumps(dict(provenance or {}), sort_keys=True),
  }
  data = _sort_header(safetensors.numpy.save(arrays, metadata))
  write_then_rename(path, lambda name: name.write_bytes(data))


def provenance_of(config: Config, step: int, checkpoint: str) -> dict[str, str]:
  """Describe where a run's weights come from; name no path of the machine.

  Args:
    step: of the checkpoint.
    checkpoint: "last" or "best".
  """
  return {
    "run": config.name,
    "step": str(step),
    "checkpoint": checkpoint,
    "hdnet_jax": hdnet_jax.__version__,
    "data": config.data.source,
    "image_size": str(config.data.image_size),
  }


def check_name(path: pathlib.Path) -> None:
  """Raise UserError where no weights file can have the name `path`."""
  if path.suffix != SUFFIX:
    raise UserError(f"{path} must end in {SUFFIX}; name another file")
  if path.is_dir():
    raise UserError(f"{path} is a folder; name another file")


def _released_file(released: Released) -> pathlib.Path:
  path, fault = released.path, "is missing"
  if path.is_file():
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if sha256 == released.sha256:
      return path
    fault = f"has the sha256 {sha256}, not {released.sha256}"
  raise UserError(
    f"{path}, a part of this package, {fault}; install hdnet-jax again"
  )


def _load_checkpoint(workdir: pathlib.Path) -> Weights:
  # Imported here: it loads the libraries of the training.
  with missing_libraries_told(f"{workdir}, the folder of a run,"):
    from hdnet_jax.training.restore import restore_params

  params, config, step = restore_params(workdir, "last")
  provenance = provenance_of(config, step, "last")
  arrays = {name: np.asarray(leaf) for name, leaf in flatten(params).items()}
  return Weights(unflatten(arrays), config.model, provenance)


def _load_file(path: pathlib.Path) -> Weights:
  metadata, arrays = _read(path)
  model = read_model(path, read_json(path, metadata, "model"))
  provenance = read_json(path, metadata, "provenance")
  if faults := find_faults(arrays, model):
    raise UserError(
      f"{path} does not hold its network of width {model.width} ({faults}); "
      "export it again"
    )
  size = str(provenance.get("image_size", IMAGE_SIZE))
  if not size.isdecimal():
    raise UserError(
      f"{path} tells of image_size={size!r}, which is no size; export it again"
    )
  return Weights(unflatten(arrays), model, provenance)


def _sort_header(data: bytes) -> bytes:
  """Sort the header's names, whose order varies by process."""
  end = 8 + int.from_bytes(data[:8], "little")
  header = json.dumps(
    json.loads(data[8:end]), sort_keys=True, separators=(",", ":")
  ).encode()
  header += b" " * (-len(header) % 8)  # tensors start aligned
  return len(header).to_bytes(8, "little") + header + data[end:]


def _read(path: pathlib.Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
  """Read the metadata, and the tensors as float32."""
  try:
    with safetensors.safe_open(path, "numpy") as file:
      metadata = file.metadata() or {}
      check_format(path, metadata.get("format", ""))
      names = file.keys()
      others = [
        name
        for name in names
        if file.get_slice(name).get_dtype() not in ("F32", "BF16")
      ]
      if others:
        raise UserError(
          f"{path} has tensors that are neither float32 nor bfloat16 "
          f"({few(others)}); export it again"
        )
      return metadata, {
        name: file.get_tensor(name).astype(np.float32) for name in names
      }
  except (safetensors.SafetensorError, OSError) as error:
    raise UserError(
      f"{path} cannot be read as a safetensors file "
      f"({' '.join(str(error).split())}); copy or export it again"
    ) from error
