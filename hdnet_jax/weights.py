"""Weights: by a released name, from a safetensors file or a run's folder.

In a file, tensors are named by their path, such as "x1/conv/kernel". The
metadata holds `format`, `model` (the settings that define the network) and
`provenance` (where the parameters come from), both as JSON. Reading a file runs
none of its code.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

import hdnet_jax
from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.hdnet import HDNet

SUFFIX = ".safetensors"
IMAGE_SIZE = 256  # assumed where the provenance names none
_FAMILY = "hdnet_jax weights"
FORMAT = f"{_FAMILY} 1"
# Settings of how a network is run; all others define the network.
_HOW_IT_RUNS = {"dtype", "remat"}
NETWORK = tuple(
  field.name
  for field in dataclasses.fields(ModelConfig)
  if field.name not in _HOW_IT_RUNS
)
_MAX_WIDTH = 4096  # a damaged file's width could be too large to trace
_MAX_NAMES = 3  # tensors that an error message names; more are counted


class Released(NamedTuple):
  """A weights file of this package; weights/README.md is its model card."""

  path: pathlib.Path
  sha256: str


RELEASED = {
  "hdnet-lite": Released(
    pathlib.Path(__file__).with_name("pretrained") / "hdnet-lite.safetensors",
    "083fef417aa235d1baed4ecdb578b400518b50dd200f56c8656cf4a56696fed9",
  ),
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
      run's folder, of which the last checkpoint is taken.

  Raises:
    UserError: where there are no such weights; where they are damaged, or of
      another program or a newer version; where the tensors do not fit the
      network.
  """
  path = pathlib.Path(name)
  if str(name) in RELEASED:
    path = _released_file(RELEASED[str(name)])
  elif path.is_dir():
    return _load_run(path)
  elif path.suffix == SUFFIX and not path.is_file():
    raise UserError(
      f"{path} is no file; write one with hdnet export-weights WORKDIR {path}"
    )
  elif not path.is_file():
    raise UserError(
      f"there are no weights {str(name)!r}: it is no file, and released are "
      f"{', '.join(sorted(RELEASED))}; train some with python train.py "
      "--config=configs/quickstart.py --workdir=DIR, and make a file of them "
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
  stored = {"float32": np.float32, "bfloat16": jnp.bfloat16}[dtype]
  arrays = {
    name: np.asarray(leaf).astype(stored, order="C")
    for name, leaf in flatten(params).items()
  }
  if faults := _faults(arrays, model):
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
  """Describe where a run's weights come from, for `save`.

  No path is in it: it would tell of the machine, and means nothing elsewhere.

  Args:
    config: the run's.
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


def flatten(params: Mapping) -> dict[str, Any]:
  """Return the leaves of nested `params` by path, such as "x1/conv/kernel"."""
  return traverse_util.flatten_dict(params, sep="/")


def parameter_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Return the shape of every parameter by path; nothing is computed."""
  image = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
  network = HDNet(**dataclasses.asdict(model))
  tree = jax.eval_shape(network.init, jax.random.key(0), image, mask)["params"]
  return {name: leaf.shape for name, leaf in flatten(tree).items()}


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


def _load_run(workdir: pathlib.Path) -> Weights:
  # Imported here: it loads the libraries of the training.
  from hdnet_jax.training.checkpoint import restore_params

  params, config, step = restore_params(workdir, "last")
  provenance = provenance_of(config, step, "last")
  return Weights(jax.device_get(params), config.model, provenance)


def _load_file(path: pathlib.Path) -> Weights:
  metadata, arrays = _read(path)
  model = _model(path, _json(path, metadata, "model"))
  provenance = _json(path, metadata, "provenance")
  if faults := _faults(arrays, model):
    raise UserError(
      f"{path} does not hold its network of width {model.width} ({faults}); "
      "export it again"
    )
  size = str(provenance.get("image_size", IMAGE_SIZE))
  if not size.isdecimal():
    raise UserError(
      f"{path} tells of image_size={size!r}, which is no size; export it again"
    )
  params = traverse_util.unflatten_dict(arrays, sep="/")
  return Weights(params, model, provenance)


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
      _check_format(path, metadata.get("format", ""))
      names = file.keys()
      others = [
        name
        for name in names
        if file.get_slice(name).get_dtype() not in ("F32", "BF16")
      ]
      if others:
        raise UserError(
          f"{path} has tensors that are neither float32 nor bfloat16 "
          f"({_few(others)}); export it again"
        )
      return metadata, {
        name: file.get_tensor(name).astype(np.float32) for name in names
      }
  except (safetensors.SafetensorError, OSError) as error:
    raise UserError(
      f"{path} cannot be read as a safetensors file "
      f"({' '.join(str(error).split())}); copy or export it again"
    ) from error


def _check_format(path: pathlib.Path, format: str) -> None:
  if format == FORMAT:
    return
  if format.startswith(_FAMILY):
    raise UserError(
      f"{path} is of a newer version, {format!r}, not {FORMAT!r}; update "
      "hdnet_jax"
    )
  raise UserError(
    f"{path} is a safetensors file, but it is not of hdnet_jax; write one with "
    "hdnet export-weights"
  )


def _json(path: pathlib.Path, metadata: Mapping[str, str], name: str) -> dict:
  try:
    values = json.loads(metadata.get(name, ""))
  except (ValueError, RecursionError):  # malformed; nested without end
    values = None
  if not isinstance(values, dict):
    raise UserError(f"{path} is damaged in its {name!r}; export it again")
  return values


def _model(path: pathlib.Path, settings: dict[str, Any]) -> ModelConfig:
  if set(settings) != set(NETWORK):
    raise UserError(
      f"{path} has the model settings {', '.join(sorted(settings))}, not those "
      f"of this version ({', '.join(NETWORK)}); update hdnet_jax"
    )
  try:
    model = Config.from_dict({"model": settings}).model
    if model.width > _MAX_WIDTH:
      raise UserError(f"width={model.width} is above {_MAX_WIDTH}")
  except UserError as error:
    raise UserError(
      f"{path} has a model that this version does not know ({error}); update "
      "hdnet_jax"
    ) from None
  return model


def _faults(arrays: Mapping[str, np.ndarray], model: ModelConfig) -> str:
  """Say why `arrays` are not the network's parameters; "" where they are."""
  shapes = parameter_shapes(model)
  faults = {
    "missing": shapes.keys() - arrays.keys(),
    "unknown": arrays.keys() - shapes.keys(),
    "of another shape": [
      f"{name} {arrays[name].shape} for {shapes[name]}"
      for name in shapes.keys() & arrays.keys()
      if arrays[name].shape != shapes[name]
    ],
    "NaN or infinite": [
      name for name, array in arrays.items() if not np.isfinite(array).all()
    ],
  }
  return "; ".join(
    f"{fault}: {_few(names)}" for fault, names in faults.items() if names
  )


def _few(names: Iterable[str]) -> str:
  names = sorted(names)
  rest = len(names) - _MAX_NAMES
  more = f" and {rest} more" if rest > 0 else ""
  return ", ".join(names[:_MAX_NAMES]) + more
