"""iHarmony4 prepared, through the command, the builder and the source."""

import contextlib
import csv
import errno
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from hdnet_jax import cli
from hdnet_jax.data import prepare, records
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.prepared import PreparedIharmony4
from hdnet_jax.errors import UserError

from . import conftest

MAX_PIXELS = "10000"


def run(*arguments, status: int = 0) -> None:
  if status == 0:
    cli.main([str(argument) for argument in arguments])
    return
  with pytest.raises(SystemExit) as stopped:
    cli.main([str(argument) for argument in arguments])
  assert stopped.value.code == status


def prepare_set(root, *arguments, status: int = 0) -> None:
  run(
    *("prepare", "iharmony4", "--root", root, "--workers", 1, *arguments),
    status=status,
  )


def same_examples(prepared, raw) -> None:
  """Both sources give the same examples in the same order."""
  assert len(prepared) == len(raw)
  for index in range(len(prepared)):
    example, other = prepared[index], raw[index]
    assert prepared.subset(index) == raw.subset(index)
    assert prepared.name(index) == raw.name(index)
    assert example.keys() == other.keys()
    for part in ("composite", "real", "mask", "index"):
      assert example[part].dtype == other[part].dtype
      np.testing.assert_array_equal(example[part], other[part])


def test_prepared_equals_the_published_files(published, capsys):
  prepare_set(published, "--image-size", "native")
  assert "HCOCO_train" in capsys.readouterr().out
  for split in ("train", "test"):
    for size in (24, 40):  # resized as it is read
      same_examples(
        PreparedIharmony4(published, split, size),
        Iharmony4Folder(published, split, size),
      )
  # Nothing is left of the work.
  assert not list(published.glob(".iharmony4*"))
  assert not (published / "downloads").exists()

  # Once more: it is there already.
  prepare_set(published, "--image-size", "native")
  assert "is prepared already" in capsys.readouterr().out


def test_prepared_at_its_size_is_read_as_it_is(published):
  prepare_set(published)
  source = PreparedIharmony4(published, "test", 256)
  same_examples(source, Iharmony4Folder(published, "test", 256))
  assert source[0]["real"].shape == (256, 256, 3)


def test_subsets(published):
  prepare_set(
    published, "--image-size", "native", "--subset", "HFlickr", "HCOCO"
  )
  source = PreparedIharmony4(published, "train", 32)
  assert {source.subset(i) for i in range(len(source))} == {"HFlickr", "HCOCO"}
  source = PreparedIharmony4(published, "train", 32, ("HFlickr",))
  assert len(source) == 8
  with pytest.raises(UserError, match="not HAdobe5k_train; remove it"):
    PreparedIharmony4(published, "train", 32, ("HAdobe5k",))
  prepare_set(published, "--image-size", "native", status=1)  # asks for more


def test_every_fault_is_found_and_nothing_is_written(published, capsys):
  planted = conftest.plant_faults(published)
  before = sorted(published.rglob("*"))
  prepare_set(published, "--max-pixels", MAX_PIXELS, status=1)
  error = capsys.readouterr().err
  assert f"{len(planted)} faults: " in error
  assert "--skip-bad" in error.splitlines()[-1]
  # The work is kept for the next try; the data set does not exist.
  assert not (published / "iharmony4").exists()
  after = [p for p in sorted(published.rglob("*")) if "_work" not in str(p)]
  assert after == before


def test_bad_triplets_are_left_out_and_listed(published, capsys):
  planted = conftest.plant_faults(published)
  prepare_set(
    *(published, "--max-pixels", MAX_PIXELS, "--skip-bad"),
    *("--image-size", "native"),
  )
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


def test_lists_with_faults(published):
  listed = published / "IHD_train.txt"
  lines = listed.read_text().splitlines()
  conftest.write_lines(listed, [*lines, lines[0], "<html>"])
  _, faults = prepare.read_lists(published, prepare.check_subsets(()))
  assert [(fault.kind, fault.file) for fault in faults] == [
    ("bad list line", f"IHD_train.txt:{len(lines) + 2}"),
    ("listed twice", lines[0]),
  ]


def test_an_interrupted_preparation_goes_on(published, tmp_path, monkeypatch):
  monkeypatch.setattr(prepare, "_CHUNK", 2)
  options = prepare.Options(workers=1)
  work = tmp_path / "work"
  whole = prepare.prepare(published, work, "256", options)
  files = sorted(work.iterdir())
  assert len(files) == 20
  written = {path: path.stat().st_mtime_ns for path in files}

  # Some chunks are missing, as after an interruption; one photo has changed.
  files[0].unlink()
  files[1].unlink()
  photo = published / "HCOCO/real_images/p0.jpg"
  photo.write_bytes((published / "HCOCO/real_images/p1.jpg").read_bytes())
  again = prepare.prepare(published, work, "256", options)
  unchanged = [p for p in files[2:] if p.stat().st_mtime_ns == written[p]]
  assert unchanged == files[2:]
  first = {chunk.path for part in whole.chunks.values() for chunk in part}
  second = {chunk.path for part in again.chunks.values() for chunk in part}
  assert len(first - second) == 1  # the chunk of the changed photo
  assert all(path.exists() for path in second)


def test_any_number_of_workers_makes_the_same(published, tmp_path, monkeypatch):
  monkeypatch.setattr(prepare, "_CHUNK", 4)
  contents = []
  for workers in (1, 2):
    work = tmp_path / str(workers)
    prepared = prepare.prepare(
      published, work, "256", prepare.Options(workers=workers)
    )
    contents.append(
      [
        (split, triplet, encoded)
        for split, chunks in prepared.chunks.items()
        for chunk in chunks
        for triplet, encoded in prepare.read_chunk(chunk)
      ]
    )
  assert contents[0] == contents[1]
  assert len(contents[0]) == 40


def test_a_chunk_is_whole_or_not_there(published, tmp_path, monkeypatch):
  def fail(*_):
    raise OSError("disk full")

  monkeypatch.setattr(prepare.Encoder, "encode", fail)
  triplets, _ = prepare.read_lists(published, ("HCOCO",))
  chunk = prepare.Chunk(tuple(triplets["HCOCO_test"]), tmp_path / "w/c.zip")
  with pytest.raises(OSError, match="disk full"):
    prepare.make_chunk(published, chunk, "256", 10**6)
  assert not list((tmp_path / "w").iterdir())


def test_encoding_loses_nothing(published, tmp_path):
  triplets, _ = prepare.read_lists(published, ("HCOCO",))
  chunk = prepare.Chunk(tuple(triplets["HCOCO_test"]), tmp_path / "c.zip")
  prepare.make_chunk(published, chunk, "256", 10**6)
  with zipfile.ZipFile(chunk.path) as file:
    assert file.testzip() is None
  assert len(list(prepare.read_chunk(chunk))) == len(chunk.triplets)
  # Pixel for pixel: see test_prepared_equals_the_published_files.


def test_missing_data_says_what_to_do(published, tmp_path):
  with pytest.raises(UserError, match=r"prepare iharmony4 .*--image-size 256"):
    PreparedIharmony4(published, "train", 256)
  with pytest.raises(UserError, match=r"configs/quickstart\.py"):
    PreparedIharmony4(tmp_path / "nowhere", "train", 256)
  with pytest.raises(UserError, match="--image-size native --subset HAdobe5k"):
    PreparedIharmony4(published, "train", 64, ("HAdobe5k",))
  prepare_set(tmp_path / "nowhere", status=1)
  prepare_set(tmp_path, status=1)  # a folder without lists
  prepare_set(published, "--workers", -1, status=1)
  prepare_set(published, "--image-size", "300", status=2)


PROGRAM = """
import sys
import tensorflow_datasets as tfds
import hdnet_jax.data.iharmony4_builder

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
  prepare_set(root, "--output", tmp_path, "--image-size", "native")
  same_examples(
    PreparedIharmony4(tmp_path, "test", 64), Iharmony4Folder(root, "test", 64)
  )


def faults_of_lists(root, *subsets: str) -> list[tuple[str, str]]:
  _, faults = prepare.read_lists(root, prepare.check_subsets(subsets))
  return [(fault.kind, fault.file) for fault in faults]


def test_every_bad_line_counts(published):
  listed = published / "IHD_test.txt"
  listed.write_bytes(b"<html>\r\n\r\n" + listed.read_bytes() + b"\xff\xfe\r\n")
  number = len(listed.read_bytes().splitlines())
  assert faults_of_lists(published) == [
    ("bad list line", "IHD_test.txt:1"),
    ("bad list line", f"IHD_test.txt:{number}"),
  ]
  # With these left out, the data set is complete.
  flags = ("--image-size", "native", "--skip-bad")
  prepare_set(published, *flags)
  prepare_set(published, *flags)


def test_lists_that_disagree(published):
  own = published / "HFlickr/HFlickr_train.txt"
  names = own.read_text().split()
  conftest.write_lines(own, names[1:])
  _, (fault,) = prepare.read_lists(published, prepare.check_subsets(()))
  assert (fault.kind, fault.file) == (
    "lists disagree",
    "HFlickr/HFlickr_train.txt",
  )
  assert fault.detail == (
    "only here: 0, only in IHD_train.txt: 1; the first: "
    f"HFlickr/composite_images/{names[0]}"
  )
  assert faults_of_lists(published, "HCOCO") == []


def test_own_lists_alone(published):
  whole, _ = prepare.read_lists(published, prepare.check_subsets(()))
  for split in ("train", "test"):
    (published / f"IHD_{split}.txt").unlink()
  own, faults = prepare.read_lists(published, prepare.check_subsets(()))
  assert own == whole
  assert faults == []
  # A subset that is not wanted is not looked at.
  (published / "HCOCO/HCOCO_train.txt").write_text("<html>")
  assert faults_of_lists(published, "HFlickr") == []


def test_images_of_both_splits_are_kept_and_said(published, caplog):
  test = published / "IHD_test.txt"
  train = (published / "IHD_train.txt").read_text().split()
  conftest.write_lines(test, [*test.read_text().split(), train[0]])
  own = published / "HCOCO/HCOCO_test.txt"
  conftest.write_lines(own, [*own.read_text().split(), train[0].split("/")[-1]])
  triplets, faults = prepare.read_lists(published, prepare.check_subsets(()))
  assert faults == []
  assert triplets["HCOCO_test"][-1] == triplets["HCOCO_train"][0]
  assert "images in train and in test, too: 1" in caplog.text


def test_a_subset_that_was_not_unpacked(published, capsys):
  shutil.rmtree(published / "HCOCO")
  prepare_set(published, status=1)
  assert "no folder HCOCO, which IHD_train.txt lists" in capsys.readouterr().err
  prepare_set(
    *(published, "--image-size", "native"),
    *("--subset", "HFlickr", "Hday2night"),
  )


def test_ctrl_c_keeps_what_is_done(published, monkeypatch, capsys):
  monkeypatch.setattr(prepare, "_CHUNK", 2)

  @contextlib.contextmanager
  def interrupting(what, total, done=0):
    def advance(count):
      raise KeyboardInterrupt

    yield advance

  with monkeypatch.context() as patch:
    patch.setattr(prepare, "bar_of", interrupting)
    prepare_set(published, status=130)
  error = capsys.readouterr().err
  assert error == "stopped; the same command continues\n"
  work = published / ".iharmony4_256_work"
  made = {path: path.stat().st_mtime_ns for path in work.iterdir()}
  assert made

  calls = []
  in_processes = prepare.in_processes

  def counting(workers, given, on_done):
    calls.extend(given)
    return in_processes(workers, given, on_done)

  monkeypatch.setattr(prepare, "in_processes", counting)
  prepare_set(published)
  # The others only.
  assert len(calls) == 20 - len(made)
  assert not {chunk.path for _, _, chunk, *_ in calls} & set(made)
  same_examples(
    PreparedIharmony4(published, "test", 256),
    Iharmony4Folder(published, "test", 256),
  )


def test_what_a_killed_writer_left_is_removed(published):
  left = published / "iharmony4/native/incomplete.ABC123_1.0.0"
  left.mkdir(parents=True)
  prepare_set(published, "--image-size", "native")
  assert [path.name for path in left.parent.iterdir()] == ["1.0.0"]


def test_output_that_cannot_be_written_to(published, tmp_path, capsys):
  (tmp_path / "file").write_text("")
  prepare_set(published, "--output", tmp_path / "file", status=1)
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith(f"error: {tmp_path / 'file'} cannot be written to")
  assert "--output" in error


def test_a_worker_that_dies():
  with pytest.raises(UserError, match="with fewer --workers continues"):
    prepare.in_processes(1, [(os._exit, 1)], lambda place: None)


def test_a_full_disk(published, monkeypatch, capsys):
  def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "a.zip")

  monkeypatch.setattr(prepare, "_make", fail)
  prepare_set(published, status=1)
  assert "error: the disk is full" in capsys.readouterr().err


def test_an_objects_photo_is_encoded_once(published, tmp_path, monkeypatch):
  read = []
  open_image = records.open_image

  def counting(path, max_pixels):
    read.append(path.relative_to(published).as_posix())
    return open_image(path, max_pixels)

  monkeypatch.setattr(records, "open_image", counting)
  triplets, _ = prepare.read_lists(published, ("HCOCO",))
  first, second, other, *_ = triplets["HCOCO_train"]
  assert first.real == second.real != other.real
  encoder = prepare.Encoder(published, "256", 10**6)
  one, two, three = (encoder.encode(t)[0] for t in (first, second, other))
  assert read.count(first.real) == read.count(first.mask) == 1
  assert one["real"] == two["real"] != three["real"]
  assert one["composite"] != two["composite"]


def test_training_flags_survive_the_shell(published, capsys):
  root = published.rename(published.with_name("my data"))
  prepare_set(root, "--image-size", "native", "--subset", "HFlickr")
  last = capsys.readouterr().out.splitlines()[-1]
  assert shlex.split(last) == [
    *("train", "with", f"--config.data.root={root}"),
    "--config.data.subsets=('HFlickr',)",
  ]
