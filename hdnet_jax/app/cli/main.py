"""The `hdnet` command; each of its commands has a module beside this one."""

import argparse
import errno
import logging
import sys
import warnings
from collections.abc import Sequence

import hdnet_jax
from hdnet_jax.app import config_file
from hdnet_jax.app.cli import (
  ablation,
  compare,
  compose,
  convert,
  demo,
  evaluate,
  export,
  export_weights,
  harmonize,
  harmonize_video,
  prepare,
  scorecard,
  show_examples,
  train,
)
from hdnet_jax.errors import UserError, missing_libraries_told
from hdnet_jax.terminal import prepare_stdout, tell

COMMANDS = (
  *(harmonize, compose, harmonize_video, demo),
  *(prepare, show_examples, train, evaluate, compare, scorecard, ablation),
  *(export_weights, export, convert),
)


def main(arguments: Sequence[str] | None = None) -> None:
  """Run `hdnet`; a user's mistake becomes one line and status 1, or 2."""
  prepare_stdout()
  logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax says much
  failure = 1
  try:
    with warnings.catch_warnings():  # nothing else runs in this process yet
      warnings.showwarning = _show_warning
      options = parse(sys.argv[1:] if arguments is None else arguments)
      failure = options.failure
      with missing_libraries_told(options.command):
        options.run(options)
  except UserError as error:
    message = str(error)
  except KeyboardInterrupt:
    print("stopped; the same command continues", file=sys.stderr)
    raise SystemExit(130) from None
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
      message = (
        f"the disk is full ({error}); make room, then the same command "
        "continues"
      )
    elif error.errno == errno.ENAMETOOLONG:
      message = f"{error.filename} is too long a name; choose a shorter one"
    else:
      raise
  else:
    return
  tell(f"error: {message}")
  raise SystemExit(failure)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Parse arguments; --config.NAME=VALUE goes to `overrides`, in its order.

  Raises:
    SystemExit: for arguments that argparse refuses.
    UserError: for others that a command with --config does not know.
  """
  overrides, others = config_file.split_overrides(arguments)
  parser = make_parser()
  options, unknown = parser.parse_known_args(others)
  options.overrides = overrides
  if hasattr(options, "config"):
    if unknown:
      raise UserError(
        f"unexpected argument {unknown[0]!r}; settings are --config.NAME=VALUE"
      )
  elif unknown or overrides:
    names = " ".join([*overrides, *unknown])
    parser.error(f"unrecognized arguments: {names}")
  return options


def _show_warning(message: Warning | str, *_: object) -> None:
  """Print a library's warning, as of a damaged file, in a line."""
  print("warning:", *str(message).split(), file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="hdnet",
    description="HDNet: image harmonization.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    "--version", action="version", version=f"hdnet {hdnet_jax.__version__}"
  )
  commands = parser.add_subparsers(required=True, metavar="COMMAND")
  for command in COMMANDS:
    command.add(commands)
  examples = (
    (command.epilog or "").partition("examples:\n")[2].splitlines()[0]
    for command in commands.choices.values()
  )
  lines = (example.removesuffix(" \\") for example in examples)
  parser.epilog = "\n".join(["examples:", *lines])
  return parser


if __name__ == "__main__":
  main()
