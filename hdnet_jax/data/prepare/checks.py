"""What can be wrong with the files of a data set: faults, gathered in a table.

Everything is looked at before anything is refused, so that a person mends a
data set once.
"""

import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable

from PIL import Image
from rich.console import Console
from rich.table import Table

from hdnet_jax.atomic_write import write_text
from hdnet_jax.data import examples
from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.transforms import turned_size
from hdnet_jax.terminal import line

UNLISTED = "file without list entry"
NO_FILE = "list entry without file"
SIZES_DIFFER = "size mismatch"
EMPTY_MASK = "empty mask"
NO_MASK = "not a mask"
BAD_LINE = "bad list line"
LISTED_TWICE = "listed twice"
LISTS_DISAGREE = "lists disagree"

SHOWN = 30  # rows of a table; all of them are in skipped.csv


@dataclasses.dataclass(frozen=True, order=True)
class Fault:
  kind: str
  file: str  # inside the data set's folder
  detail: str = ""


def read(
  root: pathlib.Path,
  name: str,
  max_pixels: int,
  faults: list[Fault],
  missing: str = examples.MISSING,
) -> Image.Image | None:
  """The image at `root/name`, or None and a fault.

  Args:
    missing: what a file that is not there is called.
  """
  try:
    return examples.open_image(root / name, max_pixels)
  except examples.BadImage as error:
    kind = missing if error.kind == examples.MISSING else error.kind
    faults.append(Fault(kind, name, error.detail))
    return None


def check_sizes(
  sizes: dict[str, tuple[int, int]], name: str, faults: list[Fault]
) -> None:
  """A fault of `name` where its images differ in width or height.

  Args:
    sizes: width and height of those that could be read, by what they are.
  """
  if len(set(sizes.values())) > 1:
    text = ", ".join(f"{what} {w}x{h}" for what, (w, h) in sizes.items())
    faults.append(Fault(SIZES_DIFFER, name, text))


def check_turned_sizes(
  photo: Image.Image, mask: Image.Image, name: str, faults: list[Fault]
) -> None:
  """A fault of a mask that is not of its photo's size, upright."""
  if mask.size == photo.size[::-1] and photo.info.get("orientation", 1) >= 5:
    w, h = photo.size
    detail = (
      f"photo {w}x{h} by its EXIF data, mask {h}x{w} as that is stored; turn it"
    )
    faults.append(Fault(SIZES_DIFFER, name, detail))
    return
  check_sizes({"photo": photo.size, "mask": mask.size}, name, faults)


def is_ambiguous(photo: Image.Image, mask: Image.Image) -> bool:
  """Whether nothing tells if a turned photo's mask is upright."""
  turned = photo.info.get("orientation", 1)
  same = turned_size(photo.size, turned) == photo.size
  return turned != 1 and same and "orientation" not in mask.info


def check_mask(
  mask: Image.Image | None, name: str, faults: list[Fault]
) -> Image.Image | None:
  """The mask in gray; a fault where it is none, or has no foreground."""
  if mask is None:
    return None
  try:
    light = examples.gray(mask)
  except masks.BadMask as error:
    faults.append(Fault(NO_MASK, name, error.detail))
    return None
  if light.getextrema()[1] <= 127:
    faults.append(Fault(EMPTY_MASK, name, "nothing in it is over half white"))
  return light


def unique(faults: Iterable[Fault]) -> list[Fault]:
  """In order of kind and file, a file once a kind: examples share files."""
  first: dict[tuple[str, str], Fault] = {}
  for fault in faults:
    first.setdefault((fault.kind, fault.file), fault)
  return sorted(first.values())


def summary(faults: list[Fault]) -> str:
  """One line: how many, by kind."""
  counts = collections.Counter(fault.kind for fault in faults)
  kinds = ", ".join(f"{kind} ({n})" for kind, n in sorted(counts.items()))
  return f"{len(faults)} fault{'s' * (len(faults) != 1)}: {kinds}"


def report(root: pathlib.Path, faults: list[Fault], strict: bool) -> None:
  """Shows the faults of a data set, and raises UserError if `strict`."""
  if not faults:
    return
  show(faults)
  if strict:
    raise UserError(
      f"{root}: {summary(faults)}; mend these, or leave them out with "
      "--skip-bad"
    )


def show(faults: list[Fault]) -> None:
  """Prints the table on standard error."""
  # A file's name is no markup.
  console = Console(stderr=True, highlight=False, markup=False, emoji=False)
  if not console.is_terminal:
    # A log has no width to fit in, and is searched for names of files.
    console.width = max(console.width, 160)
  console.print(table_of(faults))


def table_of(faults: list[Fault]) -> Table:
  """The first faults by kind, and how many there are of each."""
  counts = collections.Counter(fault.kind for fault in faults)
  table = Table(title=summary(faults), title_justify="left")
  for name in ("kind", "count", "file", "what is wrong"):
    table.add_column(name, overflow="fold", justify="left")
  # Every kind gets a share of the rows.
  share = max(SHOWN // max(len(counts), 1), 1)
  for kind, count in sorted(counts.items()):
    of_kind = [fault for fault in faults if fault.kind == kind]
    for place, fault in enumerate(of_kind[:share]):
      first = (kind, str(count)) if place == 0 else ("", "")
      table.add_row(*first, line(fault.file), line(fault.detail))
    if count > share:
      table.add_row("", "", f"and {count - share} more", "")
    table.add_section()
  return table


def write_csv(path: pathlib.Path, faults: list[Fault]) -> None:
  """Every fault, a line each: kind, file, detail."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow([field.name for field in dataclasses.fields(Fault)])
  writer.writerows(dataclasses.astuple(fault) for fault in faults)
  write_text(path, text.getvalue())
