import os

import pytest

from hdnet_jax.files import write_text, write_then_rename


def names(folder) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
  path = tmp_path / "a/b/numbers.json"
  write_text(path, "Zürich → 1\n")
  assert path.read_bytes() == "Zürich → 1\n".encode()
  assert names(path.parent) == ["numbers.json"]


def test_replaces_an_older_file(tmp_path):
  path = tmp_path / "numbers.json"
  write_text(path, "long old text")
  write_text(path, "new")
  assert path.read_text() == "new"
  assert names(tmp_path) == ["numbers.json"]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path):
  path = tmp_path / "grid.png"
  path.write_text("old")

  def write(temporary):
    assert temporary.parent == tmp_path  # a rename across disks is a copy
    assert temporary.suffix == ".png"  # image writers tell a format from it
    assert temporary.name.startswith(".")  # globs for results pass it by
    temporary.write_text("new")
    assert path.read_text() == "old"

  write_then_rename(path, write)
  assert path.read_text() == "new"
  assert names(tmp_path) == ["grid.png"]


def test_two_processes_do_not_share_a_temporary_file(tmp_path, monkeypatch):
  used = []
  for process in (1, 2):
    monkeypatch.setattr(os, "getpid", lambda process=process: process)
    write_then_rename(
      tmp_path / "a.txt", lambda path: used.append(path) or path.touch()
    )
  assert used[0] != used[1]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("old", ["old", None])
def test_a_failed_write_changes_nothing(tmp_path, error, old):
  path = tmp_path / "metrics.json"
  if old:
    path.write_text(old)

  def write(temporary):
    temporary.write_text("ha")
    raise error("no space left")

  with pytest.raises(error):
    write_then_rename(path, write)
  assert names(tmp_path) == (["metrics.json"] if old else [])
  if old:
    assert path.read_text() == old


def test_a_write_that_makes_no_file_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    write_then_rename(tmp_path / "a.txt", lambda temporary: None)
  assert names(tmp_path) == []
