"""Check a data set's files in parallel, and report their faults in a table.

All files are checked before a data set is refused, so that a person can mend
all faults at once.
"""

import collections
import concurrent.futures
import csv
import dataclasses
import io
import multiprocessing
import pathlib
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import CsvFile, write_text
from hdnet_jax.cpus import count_cpus
from hdnet_jax.data import examples
from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.transforms import turned_size
from hdnet_jax.terminal import Table, line, print_tables

UNLISTED = "file without list entry"
NO_FILE = "list entry without file"
SIZES_DIFFER = "size mismatch"
EMPTY_MASK = "empty mask"
NO_MASK = "not a mask"
BAD_LINE = "bad list line"
LISTED_TWICE = "listed twice"
LISTS_DISAGREE = "lists disagree"

CHUNK = 64  # examples that a process checks at once
SHOWN = 30  # rows of a table; all of them are in skipped.csv


@dataclasses.dataclass(frozen=True)
class Options:
  """How to prepare a data set; the defaults are the command line's."""

  subsets: tuple[str, ...] = ()  # all
  workers: int = 0  # processes; 0 is one a core
  strict: bool = True  # raise for any fault; if False, leave out what is bad
  max_pixels: int = examples.MAX_PIXELS  # of an image; more is refused
  chunk: int = CHUNK  # examples that a process takes at once


@dataclasses.dataclass(frozen=True, order=True)
class Fault:
  kind: str
  file: str  # inside the data set's folder
  detail: str = ""


@dataclasses.dataclass
class Checker:
  """Reads and checks files inside `root`, and collects their faults."""

  root: pathlib.Path
  max_pixels: int = examples.MAX_PIXELS
  max_side: int = sys.maxsize  # pixels
  faults: list[Fault] = dataclasses.field(default_factory=list)

  def add(self, kind: str, file: str, detail: str) -> None:
    self.faults.append(Fault(kind, file, detail))

  def read(
    self, name: str, missing: str = examples.MISSING
  ) -> Image.Image | None:
    """Read the image `name`; add a fault and return None if that fails.

    Args:
      missing: the kind of fault if there is no such file.
    """
    try:
      image = examples.open_image(self.root / name, self.max_pixels)
    except examples.BadImage as error:
      kind = missing if error.kind == examples.MISSING else error.kind
      self.add(kind, name, error.detail)
      return None
    if max(image.size) > self.max_side:
      detail = "{}x{}: a side is over {}".format(*image.size, self.max_side)
      self.add(examples.TOO_LARGE, name, detail)
    return image

  def check_sizes(self, sizes: dict[str, tuple[int, int]], name: str) -> None:
    """Check that the images of the example `name` have one size."""
    if len(set(sizes.values())) > 1:
      text = ", ".join(f"{what} {w}x{h}" for what, (w, h) in sizes.items())
      self.add(SIZES_DIFFER, name, text)

  def check_turned_sizes(
    self, photo: Image.Image, mask: Image.Image, name: str
  ) -> None:
    """Check that the mask `name` has the size of its photo, upright."""
    if mask.size == photo.size[::-1] and photo.info.get("orientation", 1) >= 5:
      w, h = photo.size
      detail = (
        f"photo {w}x{h} by its EXIF data, mask {h}x{w} as that is stored; turn "
        "it"
      )
      self.add(SIZES_DIFFER, name, detail)
    else:
      self.check_sizes({"photo": photo.size, "mask": mask.size}, name)

  def check_mask(
    self, mask: Image.Image | None, name: str
  ) -> Image.Image | None:
    """Return the mask in gray; check that it is one, and has a foreground."""
    if mask is None:
      return None
    try:
      light = examples.gray(mask)
    except masks.BadMask as error:
      self.add(NO_MASK, name, error.detail)
      return None
    if np.max(light.getextrema()) <= 127:
      self.add(EMPTY_MASK, name, "nothing in it is over half white")
    return light


def is_ambiguous(photo: Image.Image, mask: Image.Image) -> bool:
  """Return whether it is unknown if a turned photo's mask is upright."""
  turned = photo.info.get("orientation", 1)
  same = turned_size(photo.size, turned) == photo.size
  return turned != 1 and same and "orientation" not in mask.info


def unique(faults: Iterable[Fault]) -> list[Fault]:
  """Keep the first fault of each kind and file, and sort them."""
  first: dict[tuple[str, str], Fault] = {}
  for fault in faults:
    first.setdefault((fault.kind, fault.file), fault)
  return sorted(first.values())


def summary(faults: list[Fault]) -> str:
  """Count the faults by kind, in one line."""
  counts = collections.Counter(fault.kind for fault in faults)
  kinds = ", ".join(f"{kind} ({n})" for kind, n in sorted(counts.items()))
  return f"{len(faults)} fault{'s' * (len(faults) != 1)}: {kinds}"


def report(root: pathlib.Path, faults: list[Fault], strict: bool) -> None:
  """Show the faults of a data set; raise UserError for any if `strict`."""
  if not faults:
    return
  print_tables([table_of(faults)], stderr=True)
  if strict:
    raise UserError(
      f"{root}: {summary(faults)}; mend these, or leave them out with "
      "--skip-bad"
    )


def table_of(faults: list[Fault]) -> Table:
  """Return the first faults by kind, and how many there are of each."""
  counts = collections.Counter(fault.kind for fault in faults)
  rows = []
  # Every kind gets a share of the rows.
  share = max(SHOWN // max(len(counts), 1), 1)
  for kind, count in sorted(counts.items()):
    head = (kind, str(count))
    for fault in [fault for fault in faults if fault.kind == kind][:share]:
      rows.append((*head, line(fault.file), line(fault.detail)))
      head = ("", "")
    if count > share:
      rows.append(("", "", f"and {count - share} more", ""))
  return Table(
    title=summary(faults),
    header=("kind", "count", "file", "what is wrong"),
    rows=tuple(rows),
    left=(0, 2, 3),
  )


def write_csv(path: pathlib.Path, faults: list[Fault]) -> None:
  """Write every fault in a line: kind, file, detail."""
  text = io.StringIO()
  writer = csv.writer(CsvFile(text))
  writer.writerow([field.name for field in dataclasses.fields(Fault)])
  writer.writerows(dataclasses.astuple(fault) for fault in faults)
  write_text(path, text.getvalue())


def in_processes(
  workers: int, calls: list[tuple], on_done: Callable[[int], None]
) -> list[Any]:
  """Run calls, (function, argument, ...), in processes; return their results.

  Args:
    workers: processes; 0 is one a core.
    on_done: called with a call's place when it is done, in any order.
  """
  pool = concurrent.futures.ProcessPoolExecutor(
    min(workers or count_cpus(), len(calls)),
    multiprocessing.get_context("spawn"),
    initializer=_start_worker,
  )
  results: list[Any] = [None] * len(calls)
  try:
    places = {pool.submit(*call): i for i, call in enumerate(calls)}
    for future in concurrent.futures.as_completed(places):
      results[places[future]] = future.result()
      on_done(places[future])
  except concurrent.futures.process.BrokenProcessPool:
    raise UserError(
      "a worker died, perhaps for want of memory: the same command with fewer "
      '--workers continues (a script needs: if __name__ == "__main__")'
    ) from None
  finally:
    # After Ctrl-C running calls are finished, and the rest never start.
    pool.shutdown(cancel_futures=True)
  return results


def _start_worker() -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
  # `examples.open_image` has a limit of its own, before pixels are decoded.
  Image.MAX_IMAGE_PIXELS = None
