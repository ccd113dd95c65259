"""`hdnet prepare iharmony4`: the command."""

import csv
import shlex
import shutil

import pytest

from hdnet_jax.data.iharmony4 import Iharmony4Folder, PreparedIharmony4
from hdnet_jax.data.prepare.builder import work_dir
from hdnet_jax.errors import UserError
from hdnet_jax.lock import locked

from . import conftest

MAX_PIXELS = "10000"
NATIVE = ("--image-size", "native")


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
