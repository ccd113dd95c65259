"""The preparation's chunks: whole or not there, and kept when it stops."""

import errno
import os
import zipfile

import pytest

from hdnet_jax.data import examples
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.prepare import iharmony4
from hdnet_jax.data.prepared import PreparedIharmony4
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar

from . import conftest


def test_an_interrupted_preparation_goes_on(published, tmp_path, monkeypatch):
  monkeypatch.setattr(iharmony4, "_CHUNK", 2)
  options = iharmony4.Options(workers=1)
  work = tmp_path / "work"
  whole = iharmony4.prepare(published, work, "256", options)
  files = sorted(work.iterdir())
  assert len(files) == 20
  written = {path: path.stat().st_mtime_ns for path in files}

  # Some chunks are missing, as after an interruption; one photo has changed.
  files[0].unlink()
  files[1].unlink()
  photo = published / "HCOCO/real_images/p0.jpg"
  photo.write_bytes((published / "HCOCO/real_images/p1.jpg").read_bytes())
  again = iharmony4.prepare(published, work, "256", options)
  unchanged = [p for p in files[2:] if p.stat().st_mtime_ns == written[p]]
  assert unchanged == files[2:]
  first = {chunk.path for part in whole.chunks.values() for chunk in part}
  second = {chunk.path for part in again.chunks.values() for chunk in part}
  assert len(first - second) == 1  # the chunk of the changed photo
  assert all(path.exists() for path in second)


def test_any_number_of_workers_makes_the_same(published, tmp_path, monkeypatch):
  monkeypatch.setattr(iharmony4, "_CHUNK", 4)
  contents = []
  for workers in (1, 2):
    work = tmp_path / str(workers)
    prepared = iharmony4.prepare(
      published, work, "256", iharmony4.Options(workers=workers)
    )
    contents.append(
      [
        (split, triplet, encoded)
        for split, chunks in prepared.chunks.items()
        for chunk in chunks
        for triplet, encoded in iharmony4.read_chunk(chunk)
      ]
    )
  assert contents[0] == contents[1]
  assert len(contents[0]) == 40


def test_a_chunk_is_whole_or_not_there(published, tmp_path, monkeypatch):
  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr(iharmony4.Encoder, "encode", fail)
  triplets, _ = iharmony4.read_lists(published, ("HCOCO",))
  chunk = iharmony4.Chunk(tuple(triplets["HCOCO_test"]), tmp_path / "w/c.zip")
  with pytest.raises(OSError, match="disk full"):
    iharmony4.make_chunk(published, chunk, "256", 10**6)
  assert not list((tmp_path / "w").iterdir())


def test_encoding_loses_nothing(published, tmp_path):
  triplets, _ = iharmony4.read_lists(published, ("HCOCO",))
  chunk = iharmony4.Chunk(tuple(triplets["HCOCO_test"]), tmp_path / "c.zip")
  iharmony4.make_chunk(published, chunk, "256", 10**6)
  with zipfile.ZipFile(chunk.path) as file:
    assert file.testzip() is None
  assert len(list(iharmony4.read_chunk(chunk))) == len(chunk.triplets)


def test_an_objects_photo_is_encoded_once(published, tmp_path, monkeypatch):
  read = []
  open_image = examples.open_image

  def counting(path, max_pixels):
    read.append(path.relative_to(published).as_posix())
    return open_image(path, max_pixels)

  monkeypatch.setattr(examples, "open_image", counting)
  triplets, _ = iharmony4.read_lists(published, ("HCOCO",))
  first, second, other, *_ = triplets["HCOCO_train"]
  assert first.real == second.real != other.real
  encoder = iharmony4.Encoder(published, "256", 10**6)
  one, two, three = (encoder.encode(t)[0] for t in (first, second, other))
  assert read.count(first.real) == read.count(first.mask) == 1
  assert one["real"] == two["real"] != three["real"]
  assert one["composite"] != two["composite"]


def test_ctrl_c_keeps_what_is_done(published, monkeypatch, capsys):
  monkeypatch.setattr(iharmony4, "_CHUNK", 2)

  def interrupting(bar, count):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(ProgressBar, "advance", interrupting)
    conftest.prepare_set(published, status=130)
  error = capsys.readouterr().err
  assert error.endswith("stopped; the same command continues\n")
  work = published / ".iharmony4_256_work"
  made = {path: path.stat().st_mtime_ns for path in work.iterdir()}
  assert made

  calls = []
  in_processes = iharmony4.in_processes

  def counting(workers, given, on_done):
    calls.extend(given)
    return in_processes(workers, given, on_done)

  monkeypatch.setattr(iharmony4, "in_processes", counting)
  conftest.prepare_set(published)
  # The others only.
  assert len(calls) == 20 - len(made)
  assert not {chunk.path for _, _, chunk, *_ in calls} & set(made)
  conftest.same_examples(
    PreparedIharmony4(published, "test", 256),
    Iharmony4Folder(published, "test", 256),
  )


def test_what_a_killed_writer_left_is_removed(published):
  left = published / "iharmony4/native/incomplete.ABC123_1.0.0"
  left.mkdir(parents=True)
  conftest.prepare_set(published, "--image-size", "native")
  assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


def test_a_worker_that_dies():
  with pytest.raises(UserError, match="with fewer --workers continues"):
    iharmony4.in_processes(1, [(os._exit, 1)], lambda place: None)


def test_a_full_disk(published, monkeypatch, capsys):
  def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "a.zip")

  monkeypatch.setattr(iharmony4, "_make", fail)
  conftest.prepare_set(published, status=1)
  assert "error: the disk is full" in capsys.readouterr().err
