"""Checks of a weights file: its format, the network, the tensors' shapes."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.architecture import parameter_shapes

_FAMILY = "hdnet_jax weights"
FORMAT = f"{_FAMILY} 1"
# Settings of how a network is run; all others define the network.
_HOW_IT_RUNS = {"dtype", "remat"}
NETWORK = tuple(
  field.name
  for field in dataclasses.fields(ModelConfig)
  if field.name not in _HOW_IT_RUNS
)
_MAX_WIDTH = 4096  # a larger width is taken for damage
_MAX_NAMES = 3  # tensors that an error message names; more are counted


def flatten(params: Mapping) -> dict[str, Any]:
  """Return the leaves of nested `params` by path, such as "x1/conv/kernel"."""
  flat = {}
  for name, value in params.items():
    if isinstance(value, Mapping):
      inner = flatten(value).items()
      flat |= {f"{name}/{rest}": leaf for rest, leaf in inner}
    else:
      flat[name] = value
  return flat


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
  """Return nested `params` of leaves by path."""
  params: dict[str, Any] = {}
  for path, leaf in leaves.items():
    *groups, name = path.split("/")
    place = params
    for group in groups:
      place = place.setdefault(group, {})
    place[name] = leaf
  return params


def check_format(path: pathlib.Path, format: str) -> None:
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


def read_json(
  path: pathlib.Path, metadata: Mapping[str, str], name: str
) -> dict:
  try:
    values = json.loads(metadata.get(name, ""))
  except (ValueError, RecursionError):  # malformed; nested without end
    values = None
  if not isinstance(values, dict):
    raise UserError(f"{path} is damaged in its {name!r}; export it again")
  return values


def read_model(path: pathlib.Path, settings: dict[str, Any]) -> ModelConfig:
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


def find_faults(arrays: Mapping[str, np.ndarray], model: ModelConfig) -> str:
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
    f"{fault}: {few(names)}" for fault, names in faults.items() if names
  )


def few(names: Iterable[str]) -> str:
  names = sorted(names)
  rest = len(names) - _MAX_NAMES
  more = f" and {rest} more" if rest > 0 else ""
  return ", ".join(names[:_MAX_NAMES]) + more
