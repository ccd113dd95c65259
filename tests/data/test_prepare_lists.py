"""The lists of iHarmony4's splits: what is wrong with them, and what counts."""

from hdnet_jax.data.prepare import iharmony4

from . import conftest


def faults_of_lists(root, *subsets: str) -> list[tuple[str, str]]:
  _, faults = iharmony4.read_lists(root, iharmony4.check_subsets(subsets))
  return [(fault.kind, fault.file) for fault in faults]


def test_lists_with_faults(published):
  listed = published / "IHD_train.txt"
  lines = listed.read_text().splitlines()
  conftest.write_lines(listed, [*lines, lines[0], "<html>"])
  _, faults = iharmony4.read_lists(published, iharmony4.check_subsets(()))
  assert [(fault.kind, fault.file) for fault in faults] == [
    ("bad list line", f"IHD_train.txt:{len(lines) + 2}"),
    ("listed twice", lines[0]),
  ]


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
  conftest.prepare_set(published, *flags)
  conftest.prepare_set(published, *flags)


def test_lists_that_disagree(published):
  own = published / "HFlickr/HFlickr_train.txt"
  names = own.read_text().split()
  conftest.write_lines(own, names[1:])
  _, (fault,) = iharmony4.read_lists(published, iharmony4.check_subsets(()))
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
  whole, _ = iharmony4.read_lists(published, iharmony4.check_subsets(()))
  for split in ("train", "test"):
    (published / f"IHD_{split}.txt").unlink()
  own, faults = iharmony4.read_lists(published, iharmony4.check_subsets(()))
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
  triplets, faults = iharmony4.read_lists(
    published, iharmony4.check_subsets(())
  )
  assert faults == []
  assert triplets["HCOCO_test"][-1] == triplets["HCOCO_train"][0]
  assert "images in train and in test, too: 1" in caplog.text
