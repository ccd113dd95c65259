"""Digests of a checkpoint's files, which tell if they are whole."""

import hashlib
import json
import pathlib

from hdnet_jax.atomic_write import flush, write_text

_NAME = "sha256.json"


class Damaged(Exception):
  """Files are missing, cut off or changed; the message says which."""


def write(folder: pathlib.Path) -> None:
  """Write the sha256 of every file, once they all are on the disk."""
  for path in _files(folder):
    flush(path)
  write_text(folder / _NAME, json.dumps(_digests(folder)))


def verify(folder: pathlib.Path) -> bool:
  """Compare the files with their digests; return False if there are none.

  Raises:
    Damaged: if they do not agree.
    OSError: if a file cannot be read at present.
  """
  try:
    text = (folder / _NAME).read_bytes()
  except FileNotFoundError:
    return False
  try:
    expected = dict(json.loads(text))
  except (TypeError, ValueError):
    raise Damaged(f"its {_NAME} is cut off") from None
  if not expected:
    raise Damaged("nothing of it was written")
  digests = _digests(folder)
  damaged = [n for n in expected if digests.get(n) != expected[n]]
  if damaged:
    raise Damaged(
      f"{len(damaged)} of its {len(expected)} files are damaged or missing, "
      f"{damaged[0]} among them"
    )
  return True


def _digests(folder: pathlib.Path) -> dict[str, str]:
  digests = {}
  for path in _files(folder):
    with path.open("rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    digests[path.relative_to(folder).as_posix()] = digest
  return digests


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  paths = sorted(folder.rglob("*"))
  return [path for path in paths if path.is_file() and path.name != _NAME]
