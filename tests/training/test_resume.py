"""Runs that are killed, asked to stop, or find a damaged checkpoint."""

import dataclasses
import errno
import json
import math
import os
import pathlib
import re
import shutil
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hdnet_jax import atomic_write as files
from hdnet_jax.devices import make_mesh
from hdnet_jax.errors import UserError
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.digests import Damaged, verify
from hdnet_jax.training.loop import train_and_evaluate
from hdnet_jax.training.state import (
  abstract_state,
  initial_state,
  make_optimizer,
)

LAST = 40  # steps


@pytest.fixture
def long_config(config):
  """Long enough to be killed on the way; saves often."""
  return dataclasses.replace(
    config, epochs=LAST * 0.8, log_every=5, eval_every=20, save_every=5
  )


@pytest.fixture
def like(config):
  """The shapes of the state, on one device."""
  optimizer = make_optimizer(config.optimizer, 1.25)
  mesh = make_mesh(config.mesh)
  return abstract_state(lambda: initial_state(config, optimizer), mesh)


def final_state(like, workdir: pathlib.Path):
  """The last checkpoint: every array of the state, the key's numbers too."""
  with Checkpoints(workdir) as checkpoints:
    state = checkpoints.restore_latest(like)
  assert int(state.step) == LAST
  return state.replace(key=jax.random.key_data(state.key))


def losses(workdir: pathlib.Path) -> dict[int, float]:
  rows = (workdir / "metrics.jsonl").read_text().splitlines()
  rows = [json.loads(row) for row in rows]
  found = [(r["step"], r["train/loss"]) for r in rows if "train/loss" in r]
  assert len(dict(found)) == len(found)  # no step is told twice
  return dict(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp("uninterrupted")


@pytest.fixture
def whole(program, long_config, folder) -> pathlib.Path:
  """The workdir of a run that nobody disturbed; the first test trains it."""
  if not (folder / "run").exists():
    program.finish(program.start(long_config, folder, folder / "run"))
  return folder / "run"


@pytest.mark.parametrize(
  "steps", [(15,), pytest.param((10, 25), marks=pytest.mark.slow)]
)
def test_killed_run_ends_bitwise_equal(
  program, long_config, like, tmp_path, whole, steps
):
  workdir = tmp_path / "run"
  # At moments that no one chose: wherever the run is by then.
  for step in steps:
    process = program.start(long_config, tmp_path, workdir)
    program.wait_for_step(process, workdir, step)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
  output = program.finish(program.start(long_config, tmp_path, workdir))
  assert f"continuing {workdir} from step" in output

  state, other = (final_state(like, path) for path in (whole, workdir))
  jax.tree.map(np.testing.assert_array_equal, state, other)
  for name in ("metrics.json", "per_image.csv", "grid.png"):
    file = pathlib.Path("evaluation") / name
    assert (whole / file).read_bytes() == (workdir / file).read_bytes()
  assert losses(whole).keys() == losses(workdir).keys()


@pytest.mark.slow  # test_loop stops a run in this process
def test_sigterm_saves_and_exits_cleanly(
  program, long_config, like, tmp_path, whole
):
  workdir = tmp_path / "run"
  process = program.start(long_config, tmp_path, workdir)
  program.wait_for_step(process, workdir, 5)
  process.send_signal(signal.SIGTERM)
  output = program.finish(process)
  assert "stopped at step" in output
  with Checkpoints(workdir) as checkpoints:
    stopped = checkpoints.steps()[-1]
  assert f"stopped at step {stopped} of {LAST}" in output

  program.finish(program.start(long_config, tmp_path, workdir))
  jax.tree.map(
    np.testing.assert_array_equal,
    final_state(like, whole),
    final_state(like, workdir),
  )


def damage(checkpoint: pathlib.Path) -> None:
  """Cuts every file with array data in half, as a full disk does."""
  files = [f for f in (checkpoint / "state").rglob("*") if "/d/" in str(f)]
  assert files
  for file in files:
    os.truncate(file, file.stat().st_size // 2)


def test_damaged_newest_checkpoint_falls_back(config, tmp_path, caplog):
  config = dataclasses.replace(config, save_every=3, eval_every=100, keep=3)
  whole = train_and_evaluate(config, tmp_path)
  damage(tmp_path / "checkpoints" / "7")
  again = train_and_evaluate(config, tmp_path)
  assert re.search(r"checkpoint 7 cannot be read \(\d+ of its", caplog.text)
  jax.tree.map(np.testing.assert_array_equal, whole.params, again.params)
  assert (tmp_path / "broken_checkpoints" / "7").is_dir()
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [3, 6, 7]


def cut(file: pathlib.Path, share: float | None) -> None:
  """Leaves a share of a file, or nothing at all."""
  if share is None:
    file.unlink()
  else:
    os.truncate(file, int(file.stat().st_size * share))


def test_every_file_of_a_checkpoint_is_verified(finished, tmp_path):
  whole = finished / "checkpoints" / "7"
  files = [path for path in whole.rglob("*") if path.is_file()]
  files = [path.relative_to(whole) for path in files]
  assert {"metrics/metrics", "sha256.json"} <= {str(file) for file in files}
  for file in files:
    for share in (0, 0.5, None):
      copy = shutil.copytree(whole, tmp_path / f"{file.name}-{share}")
      cut(copy / file, share)
      if file.name == "sha256.json" and share is None:
        assert not verify(copy)  # an earlier version's
      else:
        with pytest.raises(Damaged):
          verify(copy)
      shutil.rmtree(copy)


@pytest.mark.parametrize("digests", [True, False])
@pytest.mark.parametrize("share", [0, 0.5])
@pytest.mark.parametrize("file", ["metrics/metrics", "state/_METADATA"])
def test_a_cut_checkpoint_is_set_aside(
  like, finished, caplog, file, share, digests
):
  newest = finished / "checkpoints" / "7"
  cut(newest / file, share)
  if not digests:  # a version that wrote them at the next save
    cut(newest / "sha256.json", None)
  with Checkpoints(finished) as checkpoints:
    assert int(checkpoints.restore_latest(like).step) == 6
    assert 7 not in checkpoints.steps()
  assert (finished / "broken_checkpoints" / "7" / file).exists()
  assert "checkpoint 7 cannot be read (" in caplog.text


def test_without_digests_what_is_missing_is_damage(like, finished):
  newest = finished / "checkpoints" / "7"
  cut(newest / "sha256.json", None)
  shutil.copytree(newest, finished / "checkpoints" / "8")
  cut(finished / "checkpoints" / "8" / "state/_METADATA", None)
  (finished / "checkpoints" / "9").mkdir()
  with Checkpoints(finished) as checkpoints:
    assert int(checkpoints.restore_latest(like).step) == 7
  broken = sorted((finished / "broken_checkpoints").iterdir())
  assert [path.name for path in broken] == ["8", "9"]


def test_older_checkpoints_are_looked_at_too(like, finished, caplog):
  """A damaged best one is not found out at the end."""
  with Checkpoints(finished, read_only=True) as checkpoints:
    oldest = checkpoints.steps()[0]
  cut(finished / "checkpoints" / str(oldest) / "metrics/metrics", 0)
  with Checkpoints(finished, read_only=True) as checkpoints:
    assert checkpoints.best() == 7
    assert "is not counted (its metrics/metrics is cut off)" in caplog.text
  with Checkpoints(finished) as checkpoints:
    assert int(checkpoints.restore_latest(like).step) == 7
  assert (finished / "broken_checkpoints" / str(oldest)).is_dir()


def failing(monkeypatch, error: Exception, times: float = math.inf) -> list:
  """Lets Orbax fail at reading, and nobody sleep; gives the steps it read."""
  asked, restore = [], ocp.Checkpointer.restore

  def read(self, path, *arguments, **options):
    asked.append(int(path.name))
    if len(asked) <= times:
      raise error
    return restore(self, path, *arguments, **options)

  monkeypatch.setattr(ocp.Checkpointer, "restore", read)
  monkeypatch.setattr(files, "PAUSES", (0.0, 0.0))
  return asked


def test_a_file_systems_passing_error_is_waited_for(
  like, finished, monkeypatch
):
  asked = failing(monkeypatch, OSError(errno.ESTALE, "Stale file handle"), 2)
  with Checkpoints(finished) as checkpoints:
    assert int(checkpoints.restore_latest(like).step) == 7
  assert asked == [7, 7, 7]
  assert not (finished / "broken_checkpoints").exists()


STAYS = "tried 3 times; nothing was changed"


@pytest.mark.parametrize(
  ("error", "raised", "words", "times"),
  [
    (OSError(errno.EIO, "Input/output error"), UserError, STAYS, 3),
    (PermissionError(errno.EACCES, "Permission denied"), UserError, STAYS, 3),
    # As TensorStore tells it.
    (ValueError("UNAVAILABLE [os_error_code='5']"), UserError, STAYS, 3),
    # Defects of the program.
    (TypeError("params"), TypeError, "params", 1),
    (KeyError("params"), KeyError, "params", 1),
    (ValueError("params"), ValueError, "params", 1),
  ],
)
def test_what_is_no_damage_sets_nothing_aside(
  like, finished, monkeypatch, error, raised, words, times
):
  asked = failing(monkeypatch, error)
  with Checkpoints(finished) as checkpoints, pytest.raises(raised, match=words):
    checkpoints.restore_latest(like)
  assert asked == [7] * times
  assert (finished / "checkpoints" / "7").is_dir()
  assert not (finished / "broken_checkpoints").exists()


def test_what_was_half_written_is_removed_by_the_run_alone(
  like, finished, tmp_path
):
  temporary = finished / "checkpoints" / "9.orbax-checkpoint-tmp"
  (temporary / "state").mkdir(parents=True)
  with Checkpoints(finished, read_only=True) as checkpoints:
    assert checkpoints.steps()[-1] == 7
  assert temporary.exists()
  with Checkpoints(finished) as checkpoints:
    assert int(checkpoints.restore_latest(like).step) == 7
  assert not temporary.exists()
  with pytest.raises(UserError, match="train longer"):
    Checkpoints(tmp_path / "nothing", read_only=True)


def test_all_checkpoints_damaged_is_an_error(config, finished):
  for checkpoint in (finished / "checkpoints").iterdir():
    damage(checkpoint)
  with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
    train_and_evaluate(config, finished)


def test_keeps_the_last_and_the_best(state, tmp_path):
  metrics = {1: None, 2: {"psnr": 30.0}, 3: None, 4: {"psnr": 25.0}, 5: None}
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    assert checkpoints.best() is None
    for step, of_step in metrics.items():
      checkpoints.save(state.replace(step=np.int32(step)), of_step)
      checkpoints.wait()
      assert checkpoints.best() == (None if step == 1 else 2)
    assert checkpoints.steps() == [2, 4, 5]
  with Checkpoints(tmp_path, keep=2) as checkpoints:
    assert checkpoints.best() == 2
