"""What the commands' parsers share."""

import argparse
from collections.abc import Sequence


def add_parser(commands, name: str, **values) -> argparse.ArgumentParser:
  """A command's parser; its examples are shown as they are written."""
  return commands.add_parser(
    name, formatter_class=argparse.RawDescriptionHelpFormatter, **values
  )


def set_overrides_apart(parser: argparse.ArgumentParser) -> None:
  """--config.NAME=VALUE goes to options.overrides, for ml_collections."""
  parser.set_defaults(overrides=[])
  parse = parser.parse_known_args

  def parse_known_args(args: Sequence[str], namespace=None):
    overrides, rest = split_overrides(args)
    options, unknown = parse(rest, namespace)
    options.overrides = overrides
    return options, unknown

  parser.parse_known_args = parse_known_args


def split_overrides(
  arguments: Sequence[str],
) -> tuple[list[str], list[str]]:
  """Overrides, with the value of each behind `=`, and all other arguments."""
  overrides: list[str] = []
  rest: list[str] = []
  value_may_follow = False
  for argument in arguments:
    if argument.startswith(("--config.", "--noconfig.")):
      overrides.append(argument)
      value_may_follow = "=" not in argument
    elif value_may_follow and not argument.startswith("--"):
      overrides[-1] += f"={argument}"
      value_may_follow = False
    else:
      rest.append(argument)
      value_may_follow = False
  return overrides, rest
