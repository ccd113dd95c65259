"""Weights files: a network's parameters and settings in one safetensors file.

Tensors are named by their path, such as "x1/conv/kernel". The metadata holds
`format`, `model` (the settings that define the network) and `provenance` (where
the parameters come from), both as JSON. Reading one runs no code of the file's.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.hdnet import HDNet

SUFFIX = ".safetensors"
_FAMILY = "hdnet_jax weights"
FORMAT = f"{_FAMILY} 1"
# How a network is run, not what it is; a new setting is part of what it is.
_HOW_IT_RUNS = {"dtype", "remat"}
NETWORK = tuple(
  field.name
  for field in dataclasses.fields(ModelConfig)
  if field.name not in _HOW_IT_RUNS
)
_WIDEST = 4096  # networks of a damaged file's width could not even be traced
_NAMED = 3  # tensors of an error message; more are counted


def save(
  path: pathlib.Path,
  params: Mapping,
  model: ModelConfig,
  provenance: Mapping[str, str] | None = None,
  dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
  """Writes `params` of the network `model`; equal input makes equal bytes.

  Args:
    path: ends in .safetensors; an existing file is replaced.
    params: the nested "params" of `HDNet`.
    provenance: where they come from, in words.
    dtype: what is stored; bfloat16 halves the file and keeps 8 bits.

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
  faults = _faults(arrays, model)
  if faults:
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


def load(path: pathlib.Path) -> tuple[dict, ModelConfig, dict[str, str]]:
  """The file's nested float32 NumPy params, its network and its provenance.

  Raises:
    UserError: where it is missing, damaged, of another program or a newer
      version, or its tensors are not those of its network.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise UserError(
      f"{path} is no file; write one with hdnet export-weights WORKDIR {path}"
    )
  metadata, arrays = _read(path)
  model = _model(path, _json(path, metadata, "model"))
  provenance = _json(path, metadata, "provenance")
  faults = _faults(arrays, model)
  if faults:
    raise UserError(
      f"{path} does not hold its network of width {model.width} ({faults}); "
      "export it again"
    )
  return _nest(arrays), model, provenance


def check_name(path: pathlib.Path) -> None:
  """Raises UserError where no weights file can have the name `path`."""
  if path.suffix != SUFFIX:
    raise UserError(f"{path} must end in {SUFFIX}; name another file")
  if path.is_dir():
    raise UserError(f"{path} is a folder; name another file")


def flatten(params: Mapping, prefix: str = "") -> dict[str, Any]:
  """Paths such as "x1/conv/kernel" to the leaves of nested `params`."""
  flat = {}
  for name, value in params.items():
    if isinstance(value, Mapping):
      flat |= flatten(value, f"{prefix}{name}/")
    else:
      flat[prefix + name] = value
  return flat


def parameter_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Path -> shape of every parameter of the network; nothing is computed."""
  image = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
  network = HDNet(**dataclasses.asdict(model))
  tree = jax.eval_shape(network.init, jax.random.key(0), image, mask)["params"]
  return {name: leaf.shape for name, leaf in flatten(tree).items()}


def _nest(flat: Mapping[str, np.ndarray]) -> dict:
  tree: dict = {}
  for path, leaf in flat.items():
    *parents, last = path.split("/")
    place = tree
    for name in parents:
      place = place.setdefault(name, {})
    place[last] = leaf
  return tree


def _sort_header(data: bytes) -> bytes:
  """`data` with its header's names in order; the library's vary by process."""
  end = 8 + int.from_bytes(data[:8], "little")
  header = json.dumps(
    json.loads(data[8:end]), sort_keys=True, separators=(",", ":")
  ).encode()
  header += b" " * (-len(header) % 8)  # tensors start aligned
  return len(header).to_bytes(8, "little") + header + data[end:]


def _read(path: pathlib.Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
  """The metadata, and the tensors as float32."""
  try:
    with safetensors.safe_open(path, "numpy") as file:
      metadata = file.metadata() or {}
      _check_format(path, metadata.get("format", ""))
      names = file.keys()
      kinds = {name: file.get_slice(name).get_dtype() for name in names}
      others = [name for name in names if kinds[name] not in ("F32", "BF16")]
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


def _check_format(path: pathlib.Path, found: str) -> None:
  if found == FORMAT:
    return
  if found.startswith(_FAMILY):
    raise UserError(
      f"{path} is of a newer version, {found!r}, not {FORMAT!r}; update "
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
    if model.width > _WIDEST:
      raise UserError(f"width={model.width} is above {_WIDEST}")
  except UserError as error:
    raise UserError(
      f"{path} has a model that this version does not know ({error}); update "
      "hdnet_jax"
    ) from None
  return model


def _faults(arrays: Mapping[str, np.ndarray], model: ModelConfig) -> str:
  """What keeps `arrays` from being the network's parameters; "" if nothing."""
  shapes = parameter_shapes(model)
  kinds = {
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
    f"{kind}: {_few(names)}" for kind, names in kinds.items() if names
  )


def _few(names: Iterable[str]) -> str:
  names = sorted(names)
  rest = len(names) - _NAMED
  return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
