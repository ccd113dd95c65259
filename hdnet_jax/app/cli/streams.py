"""Standard input and output in place of files, and the format of what goes."""

import argparse
import contextlib
import pathlib
import sys
import tempfile
from collections.abc import Iterator

from hdnet_jax.errors import UserError
from hdnet_jax.images.formats import written_format_of

STREAM = "-"  # what they are called


def add_format(parser: argparse.ArgumentParser) -> None:
  """The format of what OUT does not name, of `compose`, too."""
  parser.add_argument(
    "--format",
    choices=("png", "jpg", "webp", "tiff"),
    help="of stdout, and of results that OUT does not name (default: PNG; in "
    "folders that of each composite, or PNG where that is not written)",
  )


def source(name: str) -> str | bytes:
  """What to read: the bytes of stdin, or the name itself."""
  return sys.stdin.buffer.read() if name == STREAM else name


@contextlib.contextmanager
def output_path(name: str, format: str | None) -> Iterator[pathlib.Path]:
  """The path to write to; for stdout a temporary one, which is then sent.

  Raises:
    UserError: for a format that is not the one that the name says.
  """
  if name != STREAM:
    path = pathlib.Path(name)
    wanted = written_format_of(pathlib.PurePath(f"x.{format or 'png'}"))
    if format and written_format_of(path) != wanted:
      raise UserError(
        f"{path} is not named as --format {format} is; leave out either"
      )
    yield path
    return
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / f"out.{format or 'png'}"
    yield path
    sys.stdout.buffer.write(path.read_bytes())
    sys.stdout.buffer.flush()
