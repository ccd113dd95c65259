"""What the commands' parsers share."""

import argparse


def add_parser(commands, name: str, **values) -> argparse.ArgumentParser:
  """A command's parser; its examples are shown as they are written."""
  return commands.add_parser(
    name, formatter_class=argparse.RawDescriptionHelpFormatter, **values
  )
