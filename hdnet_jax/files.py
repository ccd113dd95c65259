"""Writing files so that a reader never sees half of one, and naming them."""

import contextlib
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import IO

_LONGEST = 255  # bytes of a name


def write_then_rename(
  path: pathlib.Path, write: Callable[[pathlib.Path], object]
) -> None:
  """Calls `write` with a temporary name beside `path`, then renames it.

  The temporary name keeps the suffix, from which image writers tell a format,
  and is short: the name itself may be as long as the system takes.

  Raises:
    OSError: before anything is written where the name is too long; and as
      `write` does.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with contextlib.suppress(FileNotFoundError):
    path.lstat()
  digest = zlib.crc32(os.fsencode(path.name))
  temporary = path.with_name(f".{digest:08x}.{os.getpid()}{path.suffix}")
  try:
    write(temporary)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def with_end(path: pathlib.Path, end: str) -> pathlib.Path:
  """The path with `end` in place of its suffix.

  The stem is cut where the name would be longer than file systems take.
  """
  stem = path.stem
  while len(os.fsencode(stem + end)) > _LONGEST:
    stem = stem[:-1]
  return path.with_name(stem + end)


def write_text(path: pathlib.Path, text: str) -> None:
  def write(temporary: pathlib.Path) -> None:
    with open_text(temporary, "w") as file:
      file.write(text)

  write_then_rename(path, write)


def open_text(path: pathlib.Path, mode: str = "r") -> IO[str]:
  """A UTF-8 file whose text may hold any file name, line ends untouched.

  Bytes of a name that are no text stay what they are, written and read.
  """
  return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")
