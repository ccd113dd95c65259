"""Locks of folders, against other processes."""

import contextlib
import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from hdnet_jax import lock
from hdnet_jax.errors import UserError

HOLD = """
import pathlib, sys, time
from hdnet_jax import lock
with lock.locked(pathlib.Path(sys.argv[1])):
  print("held", flush=True)
  time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
  """Another process that holds tmp_path/run."""
  root = pathlib.Path(__file__).parents[1]
  process = subprocess.Popen(
    [sys.executable, "-c", HOLD, tmp_path / "run"],
    env={**os.environ, "PYTHONPATH": str(root)},
    stdout=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "held\n"
  yield process
  process.kill()
  process.communicate()


def test_another_process_is_named(holder, tmp_path):
  words = f"in use by process {holder.pid} on {socket.gethostname()}; wait"
  for _ in range(2):  # asking does not change it
    with pytest.raises(UserError, match=words), lock.locked(tmp_path / "run"):
      pass


def test_a_killed_process_leaves_no_lock(holder, tmp_path):
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  assert (tmp_path / "run" / lock.NAME).exists()
  with lock.locked(tmp_path / "run"):
    pass


def test_one_process_has_it_once(tmp_path):
  with lock.locked(tmp_path):
    for _ in range(2):
      words = f"process {os.getpid()} on"
      with pytest.raises(UserError, match=words), lock.locked(tmp_path):
        pass
  with lock.locked(tmp_path):
    pass


@pytest.mark.parametrize("error", [None, KeyError])
def test_nothing_is_left_of_it(tmp_path, error):
  with contextlib.suppress(KeyError), lock.locked(tmp_path / "a/b"):
    if error:
      raise error
  assert list((tmp_path / "a/b").iterdir()) == []


def test_a_lock_that_was_just_removed_is_none(tmp_path, monkeypatch):
  """Opened before its holder removed it, and locked after."""
  flock, path = lock.fcntl.flock, tmp_path / lock.NAME

  def removed_in_between(file, how):
    monkeypatch.setattr(lock.fcntl, "flock", flock)
    path.unlink()
    flock(file, how)

  monkeypatch.setattr(lock.fcntl, "flock", removed_in_between)
  with lock.locked(tmp_path):
    assert path.exists()
    with pytest.raises(UserError), lock.locked(tmp_path):
      pass


def test_where_there_are_no_locks_it_is_said(tmp_path, monkeypatch, caplog):
  def fail(*_):
    raise OSError(errno.ENOLCK, "No locks available")

  monkeypatch.setattr(lock.fcntl, "flock", fail)
  with lock.locked(tmp_path):
    assert "nobody notices" in caplog.text
    assert "No locks available" in caplog.text
