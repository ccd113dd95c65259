"""List the files of a folder, and name them in notes."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence

_SHOWN = 3  # names in a note


@dataclasses.dataclass
class Listing:
  """The contents of a folder, sorted by path.

  files: regular files, links to them, and broken links.
  hidden: such files whose names begin with a dot; they are not in `files`.
  problems: folders that cannot be read and paths that are no files, each with
    what is wrong with it.
  """

  files: list[pathlib.Path] = dataclasses.field(default_factory=list)
  hidden: list[pathlib.Path] = dataclasses.field(default_factory=list)
  problems: list[tuple[pathlib.Path, str]] = dataclasses.field(
    default_factory=list
  )


def files_in(
  folder: pathlib.Path,
  without: Iterable[pathlib.Path] = (),
  deep: bool = True,
) -> Listing:
  """List every file of a folder.

  Links to folders are followed, except to a folder that contains the link.
  Hidden folders are not entered. The files that macOS keeps beside others
  (._NAME) are left out.

  Args:
    folder: the paths that are listed begin with this one.
    without: folders that are not entered, not even through a link.
    deep: whether the folders in it are entered.
  """
  listing = Listing()
  closed = {os.path.realpath(path) for path in without}
  _walk(folder, closed, deep, listing)
  listing.files.sort()
  listing.hidden.sort()
  return listing


def _walk(
  folder: pathlib.Path, closed: set[str], deep: bool, listing: Listing
) -> None:
  """Add what is in a folder; `closed` are real paths not to be entered."""
  inner = closed | {os.path.realpath(folder)}
  try:
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
  except OSError as error:
    words = f"cannot be looked into ({error.strerror}); check its permissions"
    listing.problems.append((folder, words))
    return
  for entry in entries:
    path = folder / entry.name
    hidden = entry.name.startswith(".")
    if os.path.isdir(path):
      if deep and not hidden and os.path.realpath(path) not in inner:
        _walk(path, inner, deep, listing)
    elif os.path.isfile(path) or not os.path.exists(path):
      # A path that does not exist is a broken link; reading it reports that.
      if not hidden:
        listing.files.append(path)
      elif not entry.name.startswith("._"):
        listing.hidden.append(path)
    elif not hidden:
      listing.problems.append((path, "is no file; move it elsewhere"))


def describe_files(
  paths: Sequence[os.PathLike[str]], what: str, words: str
) -> str:
  """Return a note on files: how many, and the first names.

    2 masks are without a composite: a.png, b.png

  Args:
    paths: one or more.
    what: a noun in the singular, as "mask".
    words: what they are, as "without a composite".
  """
  plural = "s are" if len(paths) > 1 else " is"
  names = ", ".join(map(os.fspath, paths[:_SHOWN]))
  more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
  return f"{len(paths):,} {what}{plural} {words}: {names}{more}"
