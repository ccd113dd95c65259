"""A folder that is watched: what is ready at each look at it."""

import functools
import os
import pathlib

import pytest

from hdnet_jax.inference.folder import plan
from hdnet_jax.inference.watch import Watcher


@pytest.fixture
def inbox(tmp_path) -> pathlib.Path:
  path = tmp_path / "in"
  path.mkdir()
  return path


@pytest.fixture
def watcher(inbox) -> Watcher:
  output = inbox / "out"
  return Watcher(functools.partial(plan, inbox, None, output, watched=True))


def names(watcher: Watcher) -> list[str]:
  """Names of the composites that are ready; nothing is told."""
  ready, news = watcher.look()
  assert news == []
  return [pair.composite.name for pair in ready]


def test_what_appears_is_given_once(inbox, watcher):
  assert names(watcher) == []  # a folder without a file will do
  for name in ("a.jpg", "a_mask.png"):
    (inbox / name).write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  for name in ("b.jpg", "b_mask.png"):
    (inbox / name).write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["b.jpg"], []]


@pytest.mark.parametrize("slow", ["a.jpg", "a_mask.png"])
def test_what_is_being_written_is_left(inbox, watcher, slow):
  for name in ("a.jpg", "a_mask.png"):
    (inbox / name).touch()
  assert [names(watcher) for _ in range(3)] == [[], [], []]  # empty
  for name in {"a.jpg", "a_mask.png"} - {slow}:
    (inbox / name).write_text("whole")
  for _ in range(3):
    with (inbox / slow).open("a") as file:
      file.write("a bit more")
    assert names(watcher) == []
  # Of the size that it will have, it is still written.
  for second in range(3):
    os.utime(inbox / slow, (second, second))
    assert names(watcher) == []
  assert names(watcher) == ["a.jpg"]


def test_what_is_saved_anew_is_given_again(inbox, watcher):
  for name in ("a.jpg", "mask.png"):
    (inbox / name).write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  (inbox / "a.jpg").write_text("another")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  (inbox / "mask.png").write_text("another")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  (inbox / "a_mask.png").write_text("its own")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  os.utime(inbox / "a.jpg", (1, 1))  # an older one of the same size
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]


def test_what_waits_for_its_mask_is_told_once(inbox, watcher):
  for name in ("a.jpg", "note.txt"):
    (inbox / name).write_text("whole")
  assert watcher.look() == ([], [])  # it may be on its way
  assert watcher.failures == []
  ready, (waits, note) = watcher.look()
  assert ready == []
  assert f"{inbox}/a.jpg has no mask a.*" in waits
  assert "1 file is not in a format that is read" in note
  assert watcher.failures == [waits]
  assert watcher.look() == ([], [])
  assert watcher.failures == [waits]
  (inbox / "a_mask.png").write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  assert watcher.failures == []


def test_what_goes_is_forgotten(inbox, watcher):
  for name in ("a.jpg", "a_mask.png"):
    (inbox / name).write_text("whole")
  assert names(watcher) == []
  (inbox / "a.jpg").unlink()
  assert names(watcher) == []
  (inbox / "a.jpg").write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
  (inbox / "a.jpg").unlink()
  (inbox / "a.jpg").symlink_to(inbox / "nothing.jpg")
  assert [names(watcher) for _ in range(3)] == [[], [], []]


def test_masks_come_before_their_composites(inbox, watcher):
  (inbox / "a_mask.png").write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], [], []]
  (inbox / "a.jpg").write_text("whole")
  assert [names(watcher) for _ in range(3)] == [[], ["a.jpg"], []]
