"""Programs that are compiled for devices that are not there, and their record.

Each is compiled in a process of its own, and is a line of the record as soon as
it is done; what the record has is not compiled again.
"""

import argparse
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import common
import environment


def add_flags(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--record", type=pathlib.Path, metavar="FILE", help="the results, as JSON"
  )
  parser.add_argument(
    "--table", action="store_true", help="print what the file has"
  )
  parser.add_argument(
    "--text", type=pathlib.Path, metavar="FOLDER", help="keep programs as text"
  )
  parser.add_argument("--child", help=argparse.SUPPRESS)


def check_folders(parser, args: argparse.Namespace) -> None:
  for folder in (args.record.parent, args.text):
    if folder and not folder.is_dir():
      parser.error(f"there is no folder {folder}")


def compile_missing(
  script: str,
  args: argparse.Namespace,
  cases: Iterable[Mapping[str, Any]],
  libraries: Sequence[str],
  env: Mapping[str, str],
) -> int:
  """Compile what the record lacks; return how many programs went wrong.

  Args:
    script: is started with --child, and prints the numbers of one case; those
      have the case in them, and the versions of `libraries`.
  """
  versions = environment.versions_of(libraries)
  done = [row for row in read(args.record) if versions.items() <= row.items()]
  failed = 0
  for case in cases:
    if any(case.items() <= row.items() for row in done):
      continue
    name = "-".join(str(value) for value in case.values() if value)
    print(name, end=": ", flush=True)
    text = args.text and os.fspath(args.text / f"{name}.txt")
    row = common.run_child(script, {"case": case, "text": text}, env=env)
    if not case.items() <= row.items():  # it ended before the compiler's answer
      failed += 1
      print(row["error"], flush=True)
      continue
    with args.record.open("a", encoding="utf-8") as file:
      file.write(json.dumps(row) + "\n")
    print(row.get("error") or f"{row['seconds']:.0f} s", flush=True)
  return failed


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  if not path.is_file():
    return []
  lines = path.read_text(encoding="utf-8").splitlines()
  return [json.loads(line) for line in lines]


def print_versions(
  rows: Iterable[Mapping[str, Any]], libraries: Sequence[str]
) -> None:
  found = {
    " ".join(f"{name} {row[name]}" for name in libraries) for row in rows
  }
  print("\n".join(sorted(found)) or "nothing is compiled yet")


def amount(size: float) -> str:
  """Bytes in three digits."""
  for unit in ("B", "kB", "MB"):
    if size < 999.5:
      return f"{common.short(size)} {unit}"
    size /= 1000
  return f"{common.short(size)} GB"
