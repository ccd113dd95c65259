"""Settings that version 0.1 had, and what to do about them."""

from collections.abc import Mapping
from typing import Any

from hdnet_jax.errors import UserError

# Settings of config.data that config.data.composites has replaced.
RETIRED = (
  *("recolor_strength", "recolorings", "held_out_recolorings"),
  "photo_variation",
)
REMEDY = (
  "of version 0.1; composites are now set by config.data.composites and "
  "config.data.evaluation_composites, such as config.data.composites.reinhard=1"
)


def refuse_retired(values: Any) -> None:
  """Raise UserError where nested settings have one of RETIRED."""
  for name in _data(values):
    if name in RETIRED:
      raise UserError(f"config.data.{name} is {REMEDY}")


def drop_retired(
  values: Any, photo_sources: tuple[str, ...]
) -> tuple[Any, bool]:
  """Return a run's settings without RETIRED, and whether it depends on them.

  Args:
    values: nested settings.
    photo_sources: values of `data.source` that make composites of photos.
  """
  data = _data(values)
  if not set(RETIRED) & set(data):
    return values, False
  current = {name: value for name, value in data.items() if name not in RETIRED}
  return {**values, "data": current}, current.get("source") in photo_sources


def _data(values: Any) -> Mapping:
  data = values.get("data") if isinstance(values, Mapping) else None
  return data if isinstance(data, Mapping) else {}
