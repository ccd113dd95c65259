"""Nested dicts as dataclasses of settings, with checks of names and types."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from hdnet_jax.errors import UserError, nearest_name


def build(cls: type, values: Any, path: str) -> Any:
  """Return the dataclass `cls` of nested values.

  Args:
    path: what errors call it, such as "config.model".

  Raises:
    UserError: for an unknown name, with the nearest valid one, or a value of
      another type than the field's.
  """
  if not isinstance(values, Mapping):
    raise UserError(f"{path} is a group of settings, not {values!r}")
  fields = typing.get_type_hints(cls)
  for name in values:
    if name not in fields:
      raise UserError(
        f"{path}.{name} does not exist; {nearest_name(name, list(fields))}"
      )
  return cls(
    **{
      name: _convert(value, fields[name], f"{path}.{name}")
      for name, value in values.items()
    }
  )


def _convert(value: Any, kind: Any, path: str) -> Any:
  if isinstance(kind, type) and dataclasses.is_dataclass(kind):
    return build(kind, value, path)
  if isinstance(kind, types.GenericAlias):
    (item_kind, _) = typing.get_args(kind)
    if not isinstance(value, (tuple, list)):
      what = "numbers" if item_kind in (int, float) else "names"
      raise UserError(f"{path} is a list of {what}, not {value!r}")
    return tuple(_convert(item, item_kind, path) for item in value)
  if typing.get_origin(kind) is Literal:
    choices = typing.get_args(kind)
    if value not in choices:
      raise UserError(f"{path} is one of {', '.join(choices)}, not {value!r}")
    return value
  if kind is float and type(value) is int:
    return float(value)
  if type(value) is not kind:
    raise UserError(f"{path} is of type {kind.__name__}, not {value!r}")
  return value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Return dotted names to values."""
  flat = {}
  for name, value in values.items():
    if isinstance(value, Mapping):
      flat |= flatten(value, f"{prefix}{name}.")
    else:
      flat[prefix + name] = value
  return flat
