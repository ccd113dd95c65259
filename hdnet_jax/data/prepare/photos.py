"""A photo folder checked, and its manifest written.

  root/images/NAME.jpg                     a photo
  root/masks/NAME.png, NAME_1.png, ...     its objects: white is foreground

or as tools name masks: NAME_mask.png, NAME_1_mask.png, NAME.jpg.png; see
`mask_files`.

Pairs are those of an existing manifest, whose further columns are kept, and
what lies in the folders besides, matched by name.
"""

import csv
import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from hdnet_jax.atomic_write import write_text
from hdnet_jax.data import examples
from hdnet_jax.data.photos import read_manifest
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Fault
from hdnet_jax.data.prepare.iharmony4 import Options
from hdnet_jax.data.prepare.processes import bar_of, in_processes
from hdnet_jax.errors import UserError
from hdnet_jax.images import mask_files
from hdnet_jax.images.folders import files_in, told
from hdnet_jax.images.formats import NOT_READ, format_of

Row = dict[str, str]

_MEASURED = ("width", "height", "foreground_fraction")
_CHUNK = 64  # pairs


class Checked(NamedTuple):
  """Good rows with their measures, what was wrong with others, and notes.

  turned: photos that are turned by EXIF data, whose masks' sizes do not tell
    if they are turned, too.
  """

  rows: list[Row]
  faults: list[Fault]
  notes: tuple[str, ...] = ()
  turned: tuple[str, ...] = ()


def prepare_photos(root: pathlib.Path, options: Options) -> Checked:
  """Checks every pair of the folder at `root` and writes `manifest.csv`.

  Raises:
    UserError: where there are no photos, or, if strict, for any fault; then
      nothing is written.
  """
  rows, faults, notes, _ = find_pairs(root)
  parts = [rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)]
  with bar_of("checking", len(rows)) as advance:
    results = in_processes(
      options.workers,
      [(check_pairs, root, part, options.max_pixels) for part in parts],
      on_done=lambda place: advance(len(parts[place])),
    )
  good = [row for result in results for row in result.rows]
  faults += [fault for result in results for fault in result.faults]
  faults = checks.unique(faults)
  checks.report(root, faults, options.strict)
  if not good:
    raise UserError(f"{root} has no good pair of photo and mask")
  write_text(root / "manifest.csv", _text_of(good))
  if faults:
    checks.write_csv(root / "skipped.csv", faults)
  turned = dict.fromkeys(name for part in results for name in part.turned)
  return Checked(good, faults, notes, tuple(turned))


def find_pairs(root: pathlib.Path) -> Checked:
  """Pairs of photo and mask, the manifest's first; files without a partner."""
  listed = read_manifest(root) if (root / "manifest.csv").is_file() else []
  rows, faults = [], []
  known: set[tuple[str, str]] = set()
  for row in listed:
    if (pair := (row["image"], row["mask"])) in known:
      detail = "more than once in manifest.csv"
      faults.append(Fault(checks.LISTED_TWICE, row["mask"], detail))
      continue
    known.add(pair)
    rows.append(row)
  masks_there = {mask for _, mask in known}
  notes: list[str] = []
  files = _files(root, "images", faults, notes)
  photos = _Photos(root / "images", files)
  used = {image for image, _ in known}
  for path in _files(root, "masks", faults, notes):
    mask = path.relative_to(root).as_posix()
    if mask in masks_there:
      continue
    image = photos.of(path.relative_to(root / "masks"))
    if image is None:
      detail = "no image of its name"
      faults.append(Fault(checks.UNLISTED, mask, detail))
      continue
    name = image.relative_to(root).as_posix()
    used.add(name)
    rows.append({"image": name, "mask": mask})
  for path in files:
    name = path.relative_to(root).as_posix()
    if name not in used:
      faults.append(Fault(checks.UNLISTED, name, "no mask of its name"))
  if not rows and not faults:
    raise UserError(
      f"{root} has no photos; put them in {root / 'images'} and their masks, "
      f"of the same names, in {root / 'masks'}"
    )
  return Checked(rows, faults, tuple(notes))


class _Photos:
  """Photos by the names that their masks have."""

  def __init__(self, folder: pathlib.Path, files: list[pathlib.Path]):
    self._exact: dict[str, pathlib.Path] = {}
    self._alike: dict[str, pathlib.Path] = {}
    for path in files:
      place = path.relative_to(folder)
      for name in (place.with_suffix("").as_posix(), place.as_posix()):
        self._exact.setdefault(name, path)
        self._alike.setdefault(mask_files.name_key(name), path)

  def of(self, mask: pathlib.Path) -> pathlib.Path | None:
    """The photo of a mask, by its path inside its folder."""
    for name in _photo_names(mask):
      key = mask_files.name_key(name)
      if found := self._exact.get(name) or self._alike.get(key):
        return found
    return None


def _photo_names(mask: pathlib.Path) -> Iterator[str]:
  """Names of the photos that a mask may be of, the likeliest first."""
  bare = mask_files.photo_key(mask.stem) or ""
  single = mask_files.without_number(mask.stem) or ""
  numbered = mask_files.without_number(bare), mask_files.photo_key(single)
  for name in filter(None, (mask.stem, single, bare, *numbered)):
    yield mask.with_name(name).as_posix()


def _files(
  root: pathlib.Path, name: str, faults: list[Fault], notes: list[str]
) -> list[pathlib.Path]:
  """The images of the folder `root/name`, in depth; none where it is not."""
  folder = root / name
  if not folder.is_dir():
    return []
  listing = files_in(folder)
  faults += [
    Fault(examples.UNREADABLE, path.relative_to(root).as_posix(), words)
    for path, words in listing.problems
  ]
  if hidden := [path for path in listing.hidden if format_of(path)]:
    notes.append(told(hidden, "hidden file", "left out"))
  if others := [path for path in listing.files if not format_of(path)]:
    notes.append(told(others, "file", NOT_READ))
  return [path for path in listing.files if format_of(path)]


def check_pairs(
  root: pathlib.Path, rows: list[Row], max_pixels: int
) -> Checked:
  parts = [check_pair(root, row, max_pixels) for row in rows]
  return Checked(
    [row for part in parts for row in part.rows],
    [fault for part in parts for fault in part.faults],
    turned=tuple(name for part in parts for name in part.turned),
  )


def check_pair(root: pathlib.Path, row: Row, max_pixels: int) -> Checked:
  """The row with its measures; none where anything is wrong."""
  faults: list[Fault] = []
  image = checks.read(root, row["image"], max_pixels, faults, checks.NO_FILE)
  mask = checks.read(root, row["mask"], max_pixels, faults, checks.NO_FILE)
  turned: tuple[str, ...] = ()
  if image and mask:
    checks.check_turned_sizes(image, mask, row["mask"], faults)
    if checks.is_ambiguous(image, mask):
      turned = (row["image"],)
  light = checks.check_mask(mask, row["mask"], faults)
  if faults:
    return Checked([], faults)
  fraction = float(examples.mask_pixels(light).mean())
  values = (*image.size, f"{fraction:.4f}")
  measures = zip(_MEASURED, map(str, values), strict=True)
  return Checked([{**row, **dict(measures)}], [], turned=turned)


def _text_of(rows: list[Row]) -> str:
  """The manifest: image, mask, the measures, then what else was there."""
  names = ["image", "mask", *_MEASURED]
  for row in rows:
    names += [name for name in row if name and name not in names]
  text = io.StringIO()
  writer = csv.DictWriter(
    text, names, restval="", extrasaction="ignore", lineterminator="\n"
  )
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()
