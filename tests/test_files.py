import os

import pytest

from hdnet_jax.files import open_text, with_end, write_text, write_then_rename


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


@pytest.mark.parametrize("stem", ["a" * 250, "ü" * 125])
def test_names_may_be_as_long_as_the_system_takes(tmp_path, stem):
  path = tmp_path / f"{stem}.json"
  write_text(path, "{}")
  assert names(tmp_path) == [path.name]
  for end in ("_compare.png", "_harmonized.webp"):
    longer = with_end(path, end)
    longer.touch()
    assert longer.name.endswith(end)
    assert longer.name.startswith(stem[:100])
  assert with_end(tmp_path / "a.b.jpg", ".png") == tmp_path / "a.b.png"


def test_a_name_too_long_is_found_before_the_work(tmp_path):
  with pytest.raises(OSError, match="File name too long"):
    write_then_rename(tmp_path / f"{'a' * 256}.png", pytest.fail)
  assert names(tmp_path) == []


def test_names_that_are_no_text_are_written_and_read(tmp_path):
  text = os.fsdecode(b"caf\xe9") + "\r\n\u2028é\n"
  write_text(tmp_path / "names.csv", text)
  assert b"caf\xe9\r\n" in (tmp_path / "names.csv").read_bytes()
  with open_text(tmp_path / "names.csv") as file:
    assert file.read() == text


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
