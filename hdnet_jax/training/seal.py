"""Whether a checkpoint is as it was written: digests of its files."""

import hashlib
import json
import os
import pathlib

from hdnet_jax.atomic_write import write_text

NAME = "sha256.json"


class Damaged(Exception):
  """Files are missing, cut off or changed; the message says which."""


def seal(folder: pathlib.Path) -> None:
  """Writes down the digest of every file, once they all are on the disk."""
  for path in _files(folder):
    with path.open("rb") as file:
      os.fsync(file.fileno())
  write_text(folder / NAME, json.dumps(_digests(folder)))


def check(folder: pathlib.Path) -> bool:
  """Whether there is a seal; then files are as they were sealed.

  Raises:
    Damaged: where they are not.
    OSError: where they cannot be read at present.
  """
  try:
    text = (folder / NAME).read_bytes()
  except FileNotFoundError:
    return False
  try:
    sealed = dict(json.loads(text))
  except (TypeError, ValueError):
    raise Damaged(f"its {NAME} is cut off") from None
  if not sealed:
    raise Damaged("nothing of it was written")
  found = _digests(folder)
  damaged = [name for name in sealed if found.get(name) != sealed[name]]
  if damaged:
    raise Damaged(
      f"{len(damaged)} of its {len(sealed)} files are damaged or missing, "
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
  return [
    path
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.name != NAME
  ]
