"""Lists of iHarmony4, which `hdnet prepare iharmony4` reads."""

from hdnet_jax.data.iharmony4 import SUBSETS
from hdnet_jax.data.prepare import lists

from . import conftest


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
    conftest.prepare_set(published, "--image-size", "native", "--skip-bad")


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
