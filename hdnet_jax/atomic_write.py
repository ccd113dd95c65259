"""Atomic writes, file names, and errors for a full or read-only disk."""

import contextlib
import errno
import os
import pathlib
import socket
import time
import zlib
from collections.abc import Callable, Generator
from typing import IO, TypeVar

from hdnet_jax.errors import UserError

T = TypeVar("T")

_LONGEST = 255  # bytes of a name
# Errors of a full or a read-only file system, and what the user can do.
_REMEDIES = {
  errno.ENOSPC: "make room there",
  errno.EDQUOT: "make room there",
  errno.EFBIG: "let files be larger there",
  errno.EROFS: "make it writable",
  errno.EACCES: "make it writable",
  errno.EPERM: "make it writable",
}
PAUSES = (0.5, 2.0, 8.0)  # seconds between attempts to read


def write_then_rename(
  path: pathlib.Path, write: Callable[[pathlib.Path], object]
) -> None:
  """Call `write` with a temporary name beside `path`, then rename the file.

  The temporary name is short, and keeps the suffix, from which image writers
  tell a format. A name that is too long raises before `write` is called.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with contextlib.suppress(FileNotFoundError):
    path.lstat()
  # Processes of two machines that share a folder may have the same PID.
  host = zlib.crc32(os.fsencode(socket.gethostname()))
  digest = zlib.crc32(os.fsencode(path.name), host)
  temporary = path.with_name(f".{digest:08x}.{os.getpid()}{path.suffix}")
  try:
    write(temporary)
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def with_end(path: pathlib.Path, end: str) -> pathlib.Path:
  """Replace the suffix by `end`; cut the stem if the name gets too long."""
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
  """Open a UTF-8 file that may hold any file name, even one not in UTF-8.

  Line ends are not converted.
  """
  return path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")


class CsvFile:
  """A text file for `csv` writers, whose rows end in a line feed.

  `csv` quotes characters of its own line terminator. Its default, CR LF, makes
  it quote a carriage return in a name, which a line feed alone would not.
  """

  def __init__(self, file: IO[str]):
    self._file = file

  def write(self, row: str) -> int:
    return self._file.write(row.removesuffix("\r\n") + "\n")


@contextlib.contextmanager
def writing(folder: pathlib.Path) -> Generator[None]:
  """Raise UserError where a block cannot write into `folder`.

  That is for a full disk, or a folder that may not be written. Other errors,
  and those of files elsewhere, pass as they are.
  """
  try:
    yield
  except OSError as error:
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None or not _concerns(error.filename, folder):
      raise
    raise UserError(
      f"{error.filename or folder} cannot be written ({error.strerror}); "
      f"{remedy}, and the same command continues"
    ) from error


def patiently(
  read: Callable[[], T], wait: Callable[[float], object] = time.sleep
) -> T:
  """Call `read` again, a few times, if it fails: a network's disk may stall.

  Raises:
    UserError: if the last attempt fails, too.
  """
  for pause in PAUSES:
    with contextlib.suppress(OSError):
      return read()
    wait(pause)
  try:
    return read()
  except OSError as error:
    raise UserError(
      f"{error.filename or 'a file'} cannot be read ({error.strerror or error})"
      f", tried {len(PAUSES) + 1} times; nothing was changed: the same command "
      "continues once the file system answers"
    ) from error


def check_room(folder: pathlib.Path, size: int) -> None:
  """Raise OSError if `size` bytes cannot be written into `folder`.

  Allocate them instead of asking how much is free: quotas and limits count too.
  """
  if not hasattr(os, "posix_fallocate"):  # macOS, Windows
    return
  path = folder / f".room.{os.getpid()}"
  try:
    with path.open("wb") as file:
      os.posix_fallocate(file.fileno(), 0, size)
  except OSError as error:
    if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
      raise OSError(error.errno, error.strerror, str(folder)) from None
  finally:
    path.unlink(missing_ok=True)


def flush(path: pathlib.Path) -> None:
  """Wait until a file, or the names in a folder, are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _concerns(name: str | None, folder: pathlib.Path) -> bool:
  """Return whether the file of an error is in `folder` or above it."""
  if name is None:  # `write` errors have no file name
    return True
  path, folder = pathlib.Path(os.fsdecode(name)).absolute(), folder.absolute()
  return path.is_relative_to(folder) or folder.is_relative_to(path)
