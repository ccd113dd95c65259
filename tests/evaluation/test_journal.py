"""Rows of an evaluation on disk, whatever their images are called."""

import os

import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.evaluation.journal import Journal, find, labels_of, read
from hdnet_jax.evaluation.tables import COLUMNS, TEXT

NAMES = (
  *(os.fsdecode(b"caf\xe9"), "new\nline", "return\r"),
  *("\u2028", 'a,"b"', "日本"),
)


def row(name: str) -> dict:
  values = {column: "x" if column in TEXT else 1.5 for column in COLUMNS}
  return values | {"name": name}


def test_every_name_is_continued_and_read(tmp_path):
  assert "name" in TEXT
  rows = [row(name) for name in NAMES]
  Journal(tmp_path, {"weights": 1}, 1).append(rows[:3])
  again = Journal(tmp_path, {"weights": 1}, 1)
  assert again.rows == rows[:3]
  again.append(rows[3:])
  again.finish()
  assert read(tmp_path / "per_image.csv") == rows


@pytest.mark.parametrize(
  ("text", "words"),
  [
    (None, "evaluate first"),
    ("", "has no column name, subset"),
    ("name,subset\na,b\n", "has no column protocol, ratio"),
    (",".join(COLUMNS) + "\na,b,standard,0.5\n", "line 2: not 18 values"),
    (",".join(COLUMNS) + "\na,b,c" + 15 * ",x" + "\n", "line 2: not 18"),
  ],
)
def test_what_is_no_per_image_csv(tmp_path, text, words):
  path = tmp_path / "per_image.csv"
  if text is not None:
    path.write_text(text)
  with pytest.raises(UserError, match=words):
    read(path)


def test_where_a_run_is_found(tmp_path):
  path = tmp_path / "run/evaluation/per_image.csv"
  path.parent.mkdir(parents=True)
  path.touch()
  for place in (path, path.parent, path.parents[1]):
    assert find(place) == path


@pytest.mark.parametrize(
  ("files", "labels"),
  [
    (("a/per_image.csv", "b/per_image.csv"), ["a", "b"]),
    (
      ("a/evaluation/per_image.csv", "b/evaluation/per_image.csv"),
      ["a", "b"],
    ),
    # Two are equal, and the third keeps its short name.
    (
      ("x/a/per_image.csv", "y/a/evaluation/per_image.csv", "b/per_image.csv"),
      ["x/a", "y/a", "b"],
    ),
    (("a/one.csv", "a/two.csv"), ["one.csv", "two.csv"]),
    (
      ("a/per_image.csv", "a/evaluation/per_image.csv"),
      ["a/per_image.csv", "evaluation/per_image.csv"],
    ),
    (("/a/one.csv", "/x/a/one.csv"), ["/a", "x/a"]),
  ],
)
def test_labels(tmp_path, files, labels):
  assert labels_of([tmp_path / file for file in files]) == labels
