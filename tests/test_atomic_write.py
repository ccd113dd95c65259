import csv
import errno
import io
import os
import resource
import socket

import pytest

from hdnet_jax import atomic_write
from hdnet_jax.atomic_write import (
  CsvFile,
  open_text,
  with_end,
  write_text,
  write_then_rename,
)
from hdnet_jax.errors import UserError


def names(folder) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def test_writes_and_makes_folders(tmp_path):
  path = tmp_path / "a/b/numbers.json"
  write_text(path, "Zürich → 1\n")
  assert path.read_bytes() == "Zürich → 1\n".encode()
  assert names(path.parent) == ["numbers.json"]


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
  for host, process in (("a", 1), ("a", 2), ("b", 1)):
    monkeypatch.setattr(os, "getpid", lambda process=process: process)
    monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
    write_then_rename(
      tmp_path / "a.txt", lambda path: used.append(path) or path.touch()
    )
  assert len(set(used)) == 3


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


@pytest.mark.parametrize(
  ("number", "remedy"),
  [
    (errno.ENOSPC, "make room there"),
    (errno.EDQUOT, "make room there"),
    (errno.EROFS, "make it writable"),
    (errno.EACCES, "make it writable"),
  ],
)
def test_a_full_or_closed_disk_is_one_line(tmp_path, number, remedy):
  with (
    pytest.raises(UserError, match=f"{remedy}, and the same command") as told,
    atomic_write.writing(tmp_path),
  ):
    raise OSError(number, os.strerror(number), str(tmp_path / "a/b"))
  assert str(told.value).startswith(f"{tmp_path}/a/b cannot be written")
  assert "\n" not in str(told.value)


def test_other_errors_of_writing_stay_what_they_are(tmp_path):
  for error in (
    OSError(errno.EIO, "broken", str(tmp_path / "a")),
    OSError(errno.EACCES, "closed", "/elsewhere/data.png"),
    ValueError("a defect"),
  ):
    with pytest.raises(type(error)) as told, atomic_write.writing(tmp_path):
      raise error
    assert told.value is error


def test_room_is_asked_for_by_taking_it(tmp_path):
  atomic_write.check_room(tmp_path, 100_000)
  old = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
  try:
    with pytest.raises(OSError, match="File too large") as told:
      atomic_write.check_room(tmp_path, 100_000)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
  assert told.value.filename == str(tmp_path)
  assert names(tmp_path) == []


def test_a_passing_error_of_reading_is_waited_for():
  waited, answers = [], [OSError(errno.ESTALE, "stale"), OSError(), "text"]

  def read():
    answer = answers.pop(0)
    if isinstance(answer, OSError):
      raise answer
    return answer

  assert atomic_write.patiently(read, waited.append) == "text"
  assert waited == list(atomic_write.PAUSES[:2])


def test_an_error_of_reading_that_stays_is_said():
  waited = []

  def read():
    raise OSError(errno.EIO, "Input/output error", "/data/a")

  with pytest.raises(UserError, match=r"^/data/a cannot be read .* 4 times"):
    atomic_write.patiently(read, waited.append)
  assert waited == list(atomic_write.PAUSES)


def test_a_defect_of_reading_is_not_waited_for():
  def read():
    raise KeyError("params")

  with pytest.raises(KeyError):
    atomic_write.patiently(read, lambda pause: pytest.fail("waited"))


def test_a_csv_file_quotes_every_end_of_line():
  names = ["a.jpg", "one\rtwo", "one\ntwo", "one\r\ntwo", "one\r\n"]
  text = io.StringIO(newline="")
  csv.writer(CsvFile(text)).writerows([name] for name in names)
  assert text.getvalue().startswith('a.jpg\n"one\rtwo"\n')
  assert list(csv.reader(io.StringIO(text.getvalue(), newline=""))) == [
    [name] for name in names
  ]
