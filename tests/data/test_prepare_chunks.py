"""Chunks of prepared triplets, written by processes that may be stopped."""

import os
import zipfile

import pytest

from hdnet_jax.data.prepare import checks, iharmony4, lists
from hdnet_jax.data.prepare.checks import Options
from hdnet_jax.errors import UserError


def triplets_of(root, part: str):
  triplets, _ = lists.read_lists(root, ("HCOCO",))
  return triplets[part]


def test_an_interrupted_preparation_goes_on(published, tmp_path):
  options = Options(workers=1, chunk=2)
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
  first, second = (
    {chunk.path for part in prepared.chunks.values() for chunk in part}
    for prepared in (whole, again)
  )
  assert len(first - second) == 1  # the chunk of the changed photo
  assert all(path.exists() for path in second)


def test_any_number_of_workers_writes_the_same(published, tmp_path):
  contents = []
  for workers in (1, 2):
    prepared = iharmony4.prepare(
      published, tmp_path / str(workers), "256", Options((), workers, chunk=4)
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


def test_a_chunk_is_whole_or_not_there(published, tmp_path):
  triplets = triplets_of(published, "HCOCO_test")
  chunk = iharmony4.Chunk(tuple(triplets), tmp_path / "w/c.zip")
  broken = iharmony4.Chunk((*triplets, None), chunk.path)
  with pytest.raises(AttributeError):
    iharmony4.make_chunk(published, broken, "256", 10**6)
  assert not list(chunk.path.parent.iterdir())
  iharmony4.make_chunk(published, chunk, "256", 10**6)
  with zipfile.ZipFile(chunk.path) as file:
    assert file.testzip() is None
  assert len(list(iharmony4.read_chunk(chunk))) == len(triplets)


def test_an_objects_photo_is_encoded_once(published):
  triplets = triplets_of(published, "HCOCO_train")
  encoder = iharmony4.Encoder(published, "256", 10**6)
  first, _ = encoder.encode(triplets[0])
  (published / triplets[0].mask).unlink()
  (published / triplets[0].real).unlink()
  second, _ = encoder.encode(triplets[1])
  assert first["real"] == second["real"]
  assert first["composite"] != second["composite"]
  third, _ = encoder.encode(triplets[2])
  assert third["real"] != first["real"]


def test_ctrl_c_keeps_what_is_done(published, tmp_path):
  triplets = triplets_of(published, "HCOCO_train")
  chunks = [
    iharmony4.Chunk((triplet,), tmp_path / f"work/{number}.zip")
    for number, triplet in enumerate(triplets)
  ]
  calls = [(iharmony4.make_chunk, published, c, "256", 10**6) for c in chunks]

  def interrupt(place):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    checks.in_processes(1, calls, interrupt)
  done = [chunk for chunk in chunks if chunk.path.exists()]
  assert 0 < len(done) < len(chunks)
  assert all(len(list(iharmony4.read_chunk(chunk))) == 1 for chunk in done)


def test_a_worker_that_dies():
  with pytest.raises(UserError, match="with fewer --workers continues"):
    checks.in_processes(1, [(os._exit, 1)], lambda place: None)
