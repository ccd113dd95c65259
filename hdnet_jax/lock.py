"""Locks of folders: one process at a time.

The lock is the kernel's (flock) and ends with its process, also by SIGKILL.
Over NFS the server keeps it until it notices the end of the machine.
"""

import contextlib
import errno
import json
import logging
import os
import pathlib
import socket
from collections.abc import Generator
from typing import IO

from hdnet_jax.errors import UserError

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

log = logging.getLogger(__name__)

NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Generator[None]:
  """Create `folder` and hold its lock.

  Where the file system has no locks, log a warning and go on.

  Raises:
    UserError: where another process holds it, with its machine and number.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / NAME
  with _open(path) as file:
    holder = {"host": socket.gethostname(), "process": os.getpid()}
    file.truncate(0)
    file.write(json.dumps(holder) + "\n")
    file.flush()
    try:
      yield
    finally:
      path.unlink(missing_ok=True)


def _open(path: pathlib.Path) -> IO[str]:
  """Open the lock's file and lock it."""
  while True:
    file = path.open("a+", encoding="utf-8")
    try:
      if not _lock(file, path) or _is(file, path):
        return file
    except BaseException:
      file.close()
      raise
    file.close()  # its last holder has just removed it


def _lock(file: IO[str], path: pathlib.Path) -> bool:
  """Lock the file; return False where the file system has no locks."""
  try:
    if fcntl is None:
      raise OSError(errno.ENOSYS, "this system has no flock")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    raise UserError(
      f"{path.parent} is in use by {_holder(file)}; wait for it or stop it, or "
      "give another folder"
    ) from None
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    log.warning(
      "no locks in %s (%s): nobody notices if two processes write there",
      path.parent,
      error.strerror,
    )
    return False
  return True


def _is(file: IO[str], path: pathlib.Path) -> bool:
  try:
    return os.path.samestat(os.fstat(file.fileno()), path.stat())
  except FileNotFoundError:
    return False


def _holder(file: IO[str]) -> str:
  file.seek(0)
  try:
    holder = json.loads(file.read())
    return f"process {holder['process']} on {holder['host']}"
  except (ValueError, TypeError, KeyError):
    return "another process"  # which has not written its name yet
