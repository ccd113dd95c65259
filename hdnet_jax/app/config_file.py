"""Config files, and the settings that the command line overrides."""

import importlib.util
import inspect
import pathlib
import types
from collections.abc import Sequence

from hdnet_jax.config import Config
from hdnet_jax.config_v0_1 import REMEDY, RETIRED
from hdnet_jax.errors import UserError

_PACKAGED = pathlib.Path(__file__).parents[1] / "configs"


def names() -> list[str]:
  """Return the names of the package's configs."""
  return sorted(
    path.stem for path in _PACKAGED.glob("*.py") if path.stem != "__init__"
  )


def load_module(name: str) -> types.ModuleType:
  """Run a config file.

  Args:
    name: of a config of the package; or a file, which has a folder or a suffix.

  Raises:
    UserError: if there is none.
  """
  file = pathlib.Path(name)
  if len(file.parts) == 1 and not file.suffix and not file.is_file():
    file = _PACKAGED / f"{name}.py"
  spec = importlib.util.spec_from_file_location("config_file", file)
  if spec is None or spec.loader is None or not file.is_file():
    raise UserError(
      f"{name} is no config; give --config one of {', '.join(names())}, or a "
      "file such as mine.py"
    )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def load_config(name: str, overrides: Sequence[str]) -> Config:
  """Read a config file, and override settings of it.

  Args:
    name: NAME, or NAME:ARGUMENT, whose `get_config` takes the argument; NAME is
      as of `load_module`.
    overrides: such as --config.batch_size=4.

  Raises:
    UserError: if there is no such file, or a setting does not fit.
  """
  from absl import flags
  from ml_collections import config_flags

  command, values = ["hdnet", *overrides], flags.FlagValues()
  file, *arguments = name.split(":", 1)
  _refuse_retired(overrides)
  try:
    get_config = load_module(file).get_config
    if arguments and not inspect.signature(get_config).parameters:
      raise UserError(f"{file} takes no argument; leave out :{arguments[0]}")
    config = get_config(*arguments)
  except (ImportError, TypeError) as error:
    for name in (*RETIRED, "EVEN_RECOLORINGS"):
      if f"'{name}'" in str(error):
        raise UserError(f"{file}: {name} is {REMEDY}") from None
    raise
  try:
    holder = config_flags.DEFINE_config_dict(
      "config",
      config,
      flag_values=values,
      lock_config=True,
      sys_argv=command,
    )
    values(command)
  except flags.Error as error:
    raise UserError(str(error)) from None
  except (AttributeError, KeyError) as error:
    # Of ml_collections, for a name that the config does not have.
    lines = str(error.args[0]).replace("\\n", "\n").splitlines()
    text = " ".join(line.strip("'\\ ") for line in lines)
    raise UserError(f"no such setting: {text}") from None
  return Config.from_dict(holder.value.to_dict())


def _refuse_retired(overrides: Sequence[str]) -> None:
  for override in overrides:
    name = override.partition("=")[0].removeprefix("--")
    if name.removeprefix("config.data.") in RETIRED:
      raise UserError(f"{name} is {REMEDY}")


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
  """Split arguments into overrides, as --config.NAME=VALUE, and the others."""
  overrides: list[str] = []
  others: list[str] = []
  value_may_follow = False
  for argument in arguments:
    if argument.startswith(("--config.", "--noconfig.")):
      overrides.append(argument)
      value_may_follow = "=" not in argument
    elif value_may_follow and not argument.startswith("--"):
      overrides[-1] += f"={argument}"
      value_may_follow = False
    else:
      others.append(argument)
      value_may_follow = False
  return overrides, others
