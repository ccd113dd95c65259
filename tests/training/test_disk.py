"""Runs on a disk that is full, closed, or fails while a save is under way."""

import dataclasses
import errno
import os
import pathlib
import resource
import shutil
import subprocess
import threading
import time

import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.loop import train_and_evaluate

NAMES = ("metrics.json", "per_image.csv", "grid.png")


def assert_same_end(workdir: pathlib.Path, whole: pathlib.Path) -> None:
  """The same results, and no checkpoint that never arrived."""
  for name in NAMES:
    file = pathlib.Path("evaluation") / name
    assert (workdir / file).read_bytes() == (whole / file).read_bytes(), name
  for folder in (workdir / "checkpoints").iterdir():
    assert (folder / "state/manifest.ocdbt").stat().st_size > 0


def fill(*_):
  raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def at_the_first_checkpoint(monkeypatch):
  monkeypatch.setattr(os, "posix_fallocate", fill)


def at_the_report(monkeypatch):
  replace = pathlib.Path.replace

  def fail(self, target):
    if target.name == "metrics.json":
      raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
    return replace(self, target)

  monkeypatch.setattr(pathlib.Path, "replace", fail)


@pytest.mark.parametrize("break_disk", [at_the_first_checkpoint, at_the_report])
def test_a_full_or_closed_disk_is_one_line_and_the_same_command_continues(
  config, trained, tmp_path, monkeypatch, break_disk
):
  with monkeypatch.context() as patch:
    break_disk(patch)
    with pytest.raises(UserError, match=r"and the same command continues$"):
      train_and_evaluate(config, tmp_path)
  if break_disk is at_the_first_checkpoint:
    assert list((tmp_path / "checkpoints").iterdir()) == []
  state = train_and_evaluate(config, tmp_path)
  assert int(state.step) == 7
  assert_same_end(tmp_path, trained)


def test_a_workdir_that_nobody_may_write_is_one_line(config):
  if not os.path.isdir("/sys"):
    pytest.skip("needs Linux, where /sys is closed to root as well")
  with pytest.raises(UserError, match=r"^/sys/\S+ cannot be written \("):
    train_and_evaluate(config, "/sys/run")


# TensorStore answers tasks whose event loop Orbax has ended at the first error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_orbax_says_of_a_full_disk_is_the_systems_error(
  state, tmp_path, monkeypatch
):
  """Its files are limited in size, which its own threads find out."""
  monkeypatch.setattr(os, "posix_fallocate", lambda *_: None)
  old = resource.getrlimit(resource.RLIMIT_FSIZE)
  with Checkpoints(tmp_path) as checkpoints:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
      checkpoints.save(state)
      with pytest.raises(OSError, match="File too large") as told:
        checkpoints.wait()
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert told.value.errno == errno.EFBIG
    assert checkpoints.steps() == []
    checkpoints.save(state)  # there is room again
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    assert checkpoints.steps() == [0]


@pytest.mark.parametrize("saved", [True, False])
def test_an_error_while_a_save_is_under_way(
  state, tmp_path, monkeypatch, saved
):
  """The error is raised as it is; the checkpoint is whole or not there."""
  failed = threading.Event()

  def slow(*_):
    assert failed.wait(60)
    if not saved:
      raise OSError(errno.EIO, "the disk is gone")

  monkeypatch.setattr(os, "posix_fallocate", slow)

  def run():
    with Checkpoints(tmp_path) as checkpoints:
      checkpoints.save(state)
      failed.set()
      raise RuntimeError("a defect")

  with pytest.raises(RuntimeError, match="a defect") as told:
    run()
  notes = getattr(told.value, "__notes__", [])
  assert any("the disk is gone" in note for note in notes) is not saved
  names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
  assert names == (["0"] if saved else [])


def test_a_failed_save_is_noticed_before_the_next_one(
  state, tmp_path, monkeypatch
):
  monkeypatch.setattr(os, "posix_fallocate", fill)

  def wait(checkpoints):
    for _ in range(6000):
      checkpoints.notice()
      time.sleep(0.01)

  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.notice()
    checkpoints.save(state)
    with pytest.raises(OSError, match="No space left"):
      wait(checkpoints)


@pytest.fixture
def small_disk(tmp_path):
  """A file system of a given size; give it another one as it goes."""
  folder = tmp_path / "disk"
  folder.mkdir()

  def resize(size: str) -> pathlib.Path:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
    return folder

  command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
  if subprocess.run(command, capture_output=True).returncode:
    pytest.skip("needs the right to mount a file system")
  yield resize
  subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full(program, config, tmp_path, small_disk):
  config = dataclasses.replace(config, epochs=32.0, save_every=10)
  whole = tmp_path / "whole"
  program.finish(program.start(config, tmp_path, whole))
  for size in ("8k", "40k", "900k", "1700k"):
    workdir = small_disk(size) / f"run{size}"
    process = program.start(config, tmp_path, workdir)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "Traceback" not in output
    assert "No space left on device); make room there" in output
    small_disk("16m")
    program.finish(program.start(config, tmp_path, workdir))
    assert_same_end(workdir, whole)
    shutil.rmtree(workdir)
