"""What commands share: config files and flags to a Config, errors to a line."""

import importlib.util
import logging
import pathlib
import sys
import types
from collections.abc import Callable, Sequence

import absl.logging
from absl import app, flags
from ml_collections import config_flags

from hdnet_jax.config import Config
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import prepare_stdout, tell

CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The run: a file of configs/. Settings are overridden by name, as in "
  "--config.batch_size=4 --config.data.root=DIR.",
  lock_config=True,
)


def config_from_flags() -> Config:
  """The typed config of --config and its overrides.

  Raises:
    UserError: where there is none, or it does not fit.
  """
  if CONFIG.value is None:
    raise UserError(
      "give a config, as in --config=configs/quickstart.py; --help says more"
    )
  try:
    values = CONFIG.value.to_dict()
  except OSError:
    file = flags.FLAGS["config"].config_filename
    raise UserError(
      f"{file} cannot be read; use a file of configs/, such as "
      "configs/quickstart.py"
    ) from None
  return Config.from_dict(values)


def load_module(file: pathlib.Path) -> types.ModuleType:
  """Run a config file.

  Raises:
    UserError: where there is none.
  """
  spec = importlib.util.spec_from_file_location("config_file", file)
  if spec is None or not file.is_file():
    raise UserError(
      f"{file} cannot be read; give --config a file such as "
      "configs/quickstart.py"
    )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def load_config(
  file: pathlib.Path, overrides: Sequence[str], *arguments: str
) -> Config:
  """Read a config file, with overrides as train.py takes them.

  Args:
    overrides: such as --config.batch_size=4.
    arguments: of the file's `get_config`.

  Raises:
    UserError: where there is no such file, or a setting does not fit.
  """
  command = ["hdnet", *overrides]
  values = flags.FlagValues()
  config = load_module(file).get_config(*arguments)
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
  except UNKNOWN_SETTING as error:
    raise UserError(say_unknown(error)) from None
  return Config.from_dict(holder.value.to_dict())


def check_one_of(*names: str) -> None:
  """Raises UserError where more than one of these flags is given."""
  given = [f"--{name}" for name in names if flags.FLAGS[name].present]
  if len(given) > 1:
    raise UserError(f"give one of {' and '.join(given)}, not both")


def run(main: Callable[[], None]) -> None:
  """Parses the flags and calls `main`; a user's mistake becomes one line."""
  app.run(lambda argv: _call(main, argv), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> list[str]:
  try:
    return flags.FLAGS(argv)
  except flags.Error as error:
    _stop(str(error))
  except UNKNOWN_SETTING as error:
    _stop(say_unknown(error))
  except OSError as error:
    # Overrides of a config that cannot be loaded.
    _stop(" ".join(str(error).split()))


# What ml_collections raises for a name that the config does not have.
UNKNOWN_SETTING = (AttributeError, KeyError)


def say_unknown(error: Exception) -> str:
  """One line for an UNKNOWN_SETTING."""
  lines = str(error.args[0]).replace("\\n", "\n").splitlines()
  return "no such setting: " + " ".join(line.strip("'\\ ") for line in lines)


def _call(main: Callable[[], None], argv: Sequence[str]) -> None:
  _quiet_libraries()
  prepare_stdout()
  if len(argv) > 1:
    _stop(f"unexpected argument {argv[1]!r}; settings are --config.NAME=VALUE")
  try:
    main()
  except UserError as error:
    _stop(str(error))
  except KeyboardInterrupt:  # training answers it itself
    print("stopped; the same command continues", file=sys.stderr)
    raise SystemExit(130) from None


def _quiet_libraries() -> None:
  """Our log lines, and of other libraries (Orbax says much) errors only."""
  absl.logging.use_absl_handler()
  absl.logging.set_verbosity(absl.logging.ERROR)
  logging.getLogger("hdnet_jax").setLevel(logging.INFO)
  # A save of Orbax's is many tasks. It raises the error of the first; asyncio
  # tells of the others, with a traceback each, when they are forgotten.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _stop(message: str) -> None:
  tell(f"error: {message}")
  raise SystemExit(1)
