"""Files: never half of one, their names, and words for a full disk."""

import contextlib
import errno
import os
import pathlib
import time
import zlib
from collections.abc import Callable, Generator
from typing import IO, TypeVar

from hdnet_jax.errors import UserError

T = TypeVar("T")

_LONGEST = 255  # bytes of a name
# What the file system says where there is no room, and where none may write.
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


@contextlib.contextmanager
def writing(folder: pathlib.Path) -> Generator[None]:
  """Around what writes into `folder` and can be continued.

  Raises:
    UserError: where the disk is full, or the folder may not be written. Other
      errors, and those of files elsewhere, pass as they are.
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
  """What `read` returns, in a few attempts: disks of a network may stall.

  Raises:
    UserError: where the last attempt, too, ends in an OSError.
  """
  for pause in PAUSES:
    try:
      return read()
    except OSError:
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
  """Raises OSError where `size` bytes cannot be written into `folder`.

  Not by asking how much is free: quotas and limits of a file's size count, too.
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


def flush(folder: pathlib.Path) -> None:
  """Returns when the names in a folder are on the disk."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _concerns(name: str | None, folder: pathlib.Path) -> bool:
  """Whether a file is in the folder, or above it; writes do not tell a name."""
  if name is None:
    return True
  path, folder = pathlib.Path(os.fsdecode(name)).absolute(), folder.absolute()
  return path.is_relative_to(folder) or folder.is_relative_to(path)
