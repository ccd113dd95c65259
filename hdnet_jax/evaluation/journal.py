"""The rows of an evaluation, written as they come: it can be continued.

per_image.csv has a row an image and protocol. While an evaluation runs, its
rows are in unfinished/, with what they are of; rows of something else there are
not continued but written over.
"""

import csv
import io
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet_jax.atomic_write import open_text, write_text
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation.tables import COLUMNS, TEXT, Row

NAME = "per_image.csv"


class Journal:
  """The rows of the evaluation of `facts` in `directory`.

  Args:
    facts: what defines the rows, as JSON can hold it: weights, data, protocols.
    each: rows an image. An image whose rows are not all there has none.
  """

  def __init__(
    self, directory: pathlib.Path, facts: Mapping[str, Any], each: int
  ):
    self._directory = directory
    self._folder = directory / "unfinished"
    self._path = self._folder / NAME
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    self.rows = self._found(text, each)
    # Anew, so that the end of a torn line is gone.
    self._folder.mkdir(parents=True, exist_ok=True)
    write_text(self._folder / "facts.json", text)
    with open_text(self._path, "w") as file:
      writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
      writer.writeheader()
      writer.writerows(self.rows)

  def _found(self, facts: str, each: int) -> list[Row]:
    path = self._folder / "facts.json"
    if not (path.is_file() and self._path.is_file()):
      return []
    if path.read_text(encoding="utf-8") != facts:
      return []
    with open_text(self._path) as file:
      text = file.read()
    rows = _parse(text[: text.rfind("\n") + 1], self._path)
    return rows[: len(rows) // each * each]

  def append(self, rows: Sequence[Row]) -> None:
    self.rows += rows
    with open_text(self._path, "a") as file:
      csv.DictWriter(file, COLUMNS, lineterminator="\n").writerows(rows)

  def finish(self) -> None:
    """All rows are there: per_image.csv is put in place."""
    self._path.replace(self._directory / NAME)
    shutil.rmtree(self._folder)


def read(path: pathlib.Path) -> list[Row]:
  """The rows of a per_image.csv.

  Raises:
    UserError: where it is not there, or no such file.
  """
  try:
    with open_text(path) as file:
      text = file.read()
  except FileNotFoundError:
    raise UserError(f"{path} does not exist; evaluate first: eval.py") from None
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error})") from None
  return _parse(text, path)


def _parse(text: str, path: pathlib.Path) -> list[Row]:
  reader = csv.DictReader(io.StringIO(text, newline=""))
  missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
  if missing:
    raise UserError(
      f"{path} has no column {', '.join(missing)}; evaluate again with eval.py"
    )
  try:
    return [
      {
        name: row[name] if name in TEXT else float(row[name])
        for name in COLUMNS
      }
      for row in reader
    ]
  except (TypeError, ValueError):
    raise UserError(
      f"{path}, line {reader.line_num}: not {len(COLUMNS)} values as its first "
      "line names them; evaluate again with eval.py"
    ) from None
