"""`hdnet prepare iharmony4`: lists, chunks, the command and the builder."""

import csv
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest

from hdnet_jax.data.iharmony4 import SUBSETS, Iharmony4Folder, PreparedIharmony4
from hdnet_jax.data.prepare import checks, iharmony4, lists
from hdnet_jax.data.prepare.builder import work_dir
from hdnet_jax.data.prepare.checks import Options
from hdnet_jax.errors import UserError
from hdnet_jax.lock import locked

from . import conftest

MAX_PIXELS = "10000"
NATIVE = ("--image-size", "native")


def read_lists(root, *subsets: str):
  """The triplets, and kind and file of the faults."""
  subsets = subsets or SUBSETS
  triplets, faults = lists.read_lists(root, subsets)
  return triplets, [(fault.kind, fault.file) for fault in faults]


def test_lists_with_faults(published):
  listed = published / "IHD_train.txt"
  lines = listed.read_text().splitlines()
  conftest.write_lines(listed, [*lines, lines[0], "<html>"])
  assert read_lists(published)[1] == [
    ("bad list line", f"IHD_train.txt:{len(lines) + 2}"),
    ("listed twice", lines[0]),
  ]


def test_every_bad_line_counts(published):
  listed = published / "IHD_test.txt"
  listed.write_bytes(b"<html>\r\n\r\n" + listed.read_bytes() + b"\xff\xfe\r\n")
  number = len(listed.read_bytes().splitlines())
  assert read_lists(published)[1] == [
    ("bad list line", "IHD_test.txt:1"),
    ("bad list line", f"IHD_test.txt:{number}"),
  ]
  # Without these lines the data set is complete.
  for _ in range(2):
    conftest.prepare_set(published, *NATIVE, "--skip-bad")


def test_lists_that_disagree(published):
  own = published / "HFlickr/HFlickr_train.txt"
  names = own.read_text().split()
  conftest.write_lines(own, names[1:])
  _, (fault,) = lists.read_lists(published, ("HFlickr",))
  assert (fault.kind, fault.file) == (
    "lists disagree",
    "HFlickr/HFlickr_train.txt",
  )
  assert fault.detail == (
    "only here: 0, only in IHD_train.txt: 1; the first: "
    f"HFlickr/composite_images/{names[0]}"
  )
  assert read_lists(published, "HCOCO")[1] == []


def test_own_lists_alone(published):
  whole, _ = read_lists(published)
  for split in ("train", "test"):
    (published / f"IHD_{split}.txt").unlink()
  assert read_lists(published) == (whole, [])
  # Lists of other subsets are not looked at.
  (published / "HCOCO/HCOCO_train.txt").write_text("<html>")
  assert read_lists(published, "HFlickr")[1] == []


def test_images_of_both_splits_are_kept_and_said(published, caplog):
  test = published / "IHD_test.txt"
  train = (published / "IHD_train.txt").read_text().split()
  conftest.write_lines(test, [*test.read_text().split(), train[0]])
  own = published / "HCOCO/HCOCO_test.txt"
  conftest.write_lines(own, [*own.read_text().split(), train[0].split("/")[-1]])
  triplets, faults = read_lists(published)
  assert faults == []
  assert triplets["HCOCO_test"][-1] == triplets["HCOCO_train"][0]
  assert "images in train and in test, too: 1" in caplog.text


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
  triplets = read_lists(published, "HCOCO")[0]["HCOCO_test"]
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
  triplets = read_lists(published, "HCOCO")[0]["HCOCO_train"]
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
  triplets = read_lists(published, "HCOCO")[0]["HCOCO_train"]
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


def test_what_a_killed_writer_left_is_removed(published):
  left = published / "iharmony4/native/incomplete.ABC123_1.0.0"
  left.mkdir(parents=True)
  conftest.prepare_set(published, *NATIVE)
  assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


def test_prepared_equals_the_published_files(published, capsys):
  conftest.prepare_set(published, *NATIVE)
  assert "HCOCO_train" in capsys.readouterr().out
  for split in ("train", "test"):
    for size in (24, 40):  # resized as it is read
      conftest.same_examples(
        PreparedIharmony4(published, split, size),
        Iharmony4Folder(published, split, size),
      )
  # Nothing is left of the work.
  assert not list(published.glob(".iharmony4*"))
  assert not (published / "downloads").exists()
  # Once more: it is there already.
  conftest.prepare_set(published, *NATIVE, "--subset", "HCOCO")
  assert "is prepared already" in capsys.readouterr().out


def test_prepared_at_its_size_is_read_as_it_is(published):
  conftest.prepare_set(published)
  source = PreparedIharmony4(published, "test", 256)
  conftest.same_examples(source, Iharmony4Folder(published, "test", 256))
  assert source[0]["real"].shape == (256, 256, 3)


def test_subsets(published):
  conftest.prepare_set(published, *NATIVE, "--subset", "HFlickr", "HCOCO")
  source = PreparedIharmony4(published, "train", 32)
  assert {source.subset(i) for i in range(len(source))} == {"HFlickr", "HCOCO"}
  source = PreparedIharmony4(published, "train", 32, ("HFlickr",))
  assert len(source) == 8
  with pytest.raises(UserError, match="not HAdobe5k_train; remove it"):
    PreparedIharmony4(published, "train", 32, ("HAdobe5k",))
  # It asks for more.
  conftest.prepare_set(published, *NATIVE, status=1)


def test_every_fault_is_found_and_nothing_is_written(published, capsys):
  planted = conftest.plant_faults(published)
  before = sorted(published.rglob("*"))
  conftest.prepare_set(published, "--max-pixels", MAX_PIXELS, status=1)
  error = capsys.readouterr().err
  assert f"{len(planted)} faults: " in error
  assert "--skip-bad" in error.splitlines()[-1]
  # The work is kept for the next try; the data set does not exist.
  assert not (published / "iharmony4").exists()
  after = [p for p in sorted(published.rglob("*")) if "_work" not in str(p)]
  assert after == before


def test_bad_triplets_are_left_out_and_listed(published, capsys):
  planted = conftest.plant_faults(published)
  flags = ("--max-pixels", MAX_PIXELS, "--skip-bad")
  conftest.prepare_set(published, *NATIVE, *flags)
  with (published / "skipped.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert {(row["kind"], row["file"]) for row in rows} == planted
  assert len(rows) == len(planted)  # each once, however many need the file
  assert all(row["detail"] for row in rows)
  assert "left out: 9 faults" in capsys.readouterr().out
  total = sum(
    len(PreparedIharmony4(published, split, 32)) for split in ("train", "test")
  )
  assert total == conftest.GOOD_AFTER_FAULTS


def test_missing_data_says_what_to_do(published, tmp_path):
  with pytest.raises(UserError, match=r"prepare iharmony4 .*--image-size 256"):
    PreparedIharmony4(published, "train", 256)
  with pytest.raises(UserError, match=r"--config=quickstart"):
    PreparedIharmony4(tmp_path / "nowhere", "train", 256)
  with pytest.raises(UserError, match="--image-size native --subset HAdobe5k"):
    PreparedIharmony4(published, "train", 64, ("HAdobe5k",))
  conftest.prepare_set(tmp_path / "nowhere", status=1)
  conftest.prepare_set(tmp_path, status=1)  # a folder without lists
  conftest.prepare_set(published, "--workers", -1, status=1)
  conftest.prepare_set(published, "--image-size", "300", status=2)


PROGRAM = """
import sys
import tensorflow_datasets as tfds
import hdnet_jax.data.prepare.builder

if __name__ == "__main__":
  root = sys.argv[1]
  builder = tfds.builder("iharmony4/native", data_dir=root)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=root))
  source = tfds.data_source(
    "iharmony4/native", data_dir=root, split="HCOCO_train+HFlickr_test")
  example = source[0]
  print(len(source), example["composite"].shape, example["mask"].shape,
        example["name"].decode(), "tensorflow" in sys.modules)
"""


def test_tfds_builds_and_reads_it_without_tensorflow(published, tmp_path):
  program = tmp_path / "build.py"
  program.write_text(PROGRAM)
  result = subprocess.run(
    [sys.executable, str(program), str(published)],
    env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    capture_output=True,
    text=True,
  )
  assert result.returncode == 0, result.stderr
  last = result.stdout.splitlines()[-1]
  assert last == "10 (28, 36, 3) (28, 36, 1) p0_1_0 False"
  assert not list(published.glob(".iharmony4*"))
  assert list(published.glob("iharmony4/native/1.0.0/*.array_record*"))


def test_the_samples(shared, tmp_path):
  root = shared / "data/iharmony4_samples"
  conftest.prepare_set(root, "--output", tmp_path, *NATIVE)
  conftest.same_examples(
    PreparedIharmony4(tmp_path, "test", 64), Iharmony4Folder(root, "test", 64)
  )


def test_a_subset_that_was_not_unpacked(published, capsys):
  shutil.rmtree(published / "HCOCO")
  conftest.prepare_set(published, status=1)
  assert "no folder HCOCO, which IHD_train.txt lists" in capsys.readouterr().err
  conftest.prepare_set(published, *NATIVE, "--subset", "HFlickr", "Hday2night")


def test_output_that_cannot_be_written_to(published, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  conftest.prepare_set(published, "--output", tmp_path / "file", status=1)
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith(f"error: {tmp_path / 'file'} cannot be written to")
  assert "--output" in error


def test_one_preparation_at_a_time(published, tmp_path, capsys):
  output = tmp_path / "out"
  with locked(work_dir(output, "256")):
    conftest.prepare_set(published, "--output", output, status=1)
  error = capsys.readouterr().err.splitlines()[-1]
  assert "is in use by process" in error
  conftest.prepare_set(published, "--output", output)


def test_training_flags_survive_the_shell(published, capsys):
  root = published.rename(published.with_name("my data"))
  conftest.prepare_set(root, *NATIVE, "--subset", "HFlickr")
  last = capsys.readouterr().out.splitlines()[-1]
  assert shlex.split(last) == [
    *("train", "with", f"--config.data.root={root}"),
    "--config.data.subsets=('HFlickr',)",
  ]
