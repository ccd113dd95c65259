"""Rows of an evaluation on disk, whatever their images are called."""

import os

from hdnet_jax.evaluation.journal import Journal, read
from hdnet_jax.evaluation.tables import COLUMNS, TEXT

NAMES = (os.fsdecode(b"caf\xe9"), "new\nline", "\u2028", 'a,"b"', "日本")


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
