"""per_image.csv: a row for each image and protocol of an evaluation.

While an evaluation runs, its rows are in unfinished/ with the facts that define
them. The same evaluation continues them; another one writes over them.
"""

import csv
import io
import json
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from hdnet_jax.atomic_write import CsvFile, open_text, write_text
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation.tables import COLUMNS, TEXT, Row

NAME = "per_image.csv"


class Journal:
  """The rows of a running evaluation in `directory`.

  Args:
    facts: what defines the rows, as JSON can hold it: weights, data, protocols.
    rows_per_image: an image that has fewer is evaluated again.
  """

  def __init__(
    self, directory: pathlib.Path, facts: Mapping[str, Any], rows_per_image: int
  ):
    self._directory = directory
    self._folder = directory / "unfinished"
    self._path = self._folder / NAME
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    self.rows = self._unfinished(text, rows_per_image)
    # Written anew, without the rest of a line that was cut off.
    self._folder.mkdir(parents=True, exist_ok=True)
    write_text(self._folder / "facts.json", text)
    with open_text(self._path, "w") as file:
      writer = csv.DictWriter(CsvFile(file), COLUMNS)
      writer.writeheader()
      writer.writerows(self.rows)

  def _unfinished(self, facts: str, rows_per_image: int) -> list[Row]:
    path = self._folder / "facts.json"
    if not (path.is_file() and self._path.is_file()):
      return []
    if path.read_text(encoding="utf-8") != facts:
      return []
    with open_text(self._path) as file:
      text = file.read()
    rows = _parse(text[: text.rfind("\n") + 1], self._path)
    return rows[: len(rows) - len(rows) % rows_per_image]

  def append(self, rows: Sequence[Row]) -> None:
    """Add rows to the file."""
    self.rows += rows
    with open_text(self._path, "a") as file:
      csv.DictWriter(CsvFile(file), COLUMNS).writerows(rows)

  def finish(self) -> None:
    """Put the complete per_image.csv in place."""
    self._path.replace(self._directory / NAME)
    shutil.rmtree(self._folder)


def find(path: pathlib.Path) -> pathlib.Path:
  """Return `path` if it is a file, else the per_image.csv in it or evaluation/.

  Raises:
    UserError: where there is none.
  """
  if path.is_file():
    return path
  for folder in (path, path / "evaluation"):
    if (folder / NAME).is_file():
      return folder / NAME
  what = "holds no" if path.is_dir() else "does not exist: no"
  raise UserError(
    f"{path} {what} {NAME} or evaluation/{NAME}; run hdnet evaluate first"
  )


def labels_of(files: Sequence[pathlib.Path]) -> list[str]:
  """Name each file by its run's folder, with parents where names are equal.

  Raises:
    UserError: for a file that is given twice.
  """
  files = [path.resolve() for path in files]
  for path in files:
    if files.count(path) > 1:
      raise UserError(f"{path} is given twice; compare it with another run")
  homes = [
    path.parents[1] if path.parent.name == "evaluation" else path.parent
    for path in files
  ]
  # A folder with several such files does not tell them apart.
  homes = [
    path if homes.count(home) > 1 else home
    for path, home in zip(files, homes, strict=True)
  ]

  def label(home: pathlib.Path) -> str:
    for length in range(1, len(home.parts)):
      end = home.parts[-length:]
      if sum(other.parts[-length:] == end for other in homes) == 1:
        return "/".join(end)
    return str(home)

  return [label(home) for home in homes]


def read(path: pathlib.Path) -> list[Row]:
  """Return the rows of a per_image.csv.

  Raises:
    UserError: if the file is missing, or is no per_image.csv.
  """
  try:
    with open_text(path) as file:
      text = file.read()
  except FileNotFoundError:
    raise UserError(
      f"{path} does not exist; run hdnet evaluate first"
    ) from None
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error})") from None
  return _parse(text, path)


def _parse(text: str, path: pathlib.Path) -> list[Row]:
  reader = csv.DictReader(io.StringIO(text, newline=""))
  missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
  if missing:
    raise UserError(
      f"{path} has no column {', '.join(missing)}; run hdnet evaluate again"
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
      "line names them; run hdnet evaluate again"
    ) from None
