"""Writing files so that a reader never sees half of one."""

import os
import pathlib
from collections.abc import Callable


def write_then_rename(
  path: pathlib.Path, write: Callable[[pathlib.Path], object]
) -> None:
  """Calls `write` with a temporary name beside `path`, then renames it.

  The temporary name keeps the suffix, from which image writers tell a format.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
  try:
    write(temporary)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
  write_then_rename(path, lambda name: name.write_text(text, encoding="utf-8"))
