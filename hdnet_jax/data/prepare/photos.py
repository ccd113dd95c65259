"""Check a photo folder, and write its manifest.

  root/images/NAME.jpg                     a photo
  root/masks/NAME.png, NAME_1.png, ...     its objects: white is foreground

Masks may have other names that tools give them: NAME_mask.png, NAME_1_mask.png,
NAME.jpg.png; see `mask_files`. Pairs come from an existing manifest, whose
other columns are kept. Masks that it does not list are matched by name.
"""

import csv
import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from hdnet_jax.atomic_write import CsvFile, write_text
from hdnet_jax.data import examples
from hdnet_jax.data.photos import read_manifest
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Checker, Fault, Options
from hdnet_jax.errors import UserError
from hdnet_jax.images import mask_files
from hdnet_jax.images.folders import describe_files, files_in
from hdnet_jax.images.formats import NOT_READ, format_of
from hdnet_jax.terminal import ProgressBar

Row = dict[str, str]

_MEASURED = ("width", "height", "foreground_fraction")


class Checked(NamedTuple):
  """Good rows with their measures, the faults of other rows, and notes.

  turned: photos that EXIF data turn, where nothing tells if their masks are
    turned, too (see `checks.is_ambiguous`).
  """

  rows: list[Row]
  faults: list[Fault]
  notes: tuple[str, ...] = ()
  turned: tuple[str, ...] = ()


def prepare_photos(root: pathlib.Path, options: Options) -> Checked:
  """Check every pair of the folder at `root` and write `manifest.csv`.

  Raises:
    UserError: if there are no photos, or, if strict, for any fault; then
      nothing is written.
  """
  rows, faults, notes, _ = find_pairs(root)
  size = options.chunk
  parts = [rows[i : i + size] for i in range(0, len(rows), size)]
  with ProgressBar("checking", len(rows)) as bar:
    results = checks.in_processes(
      options.workers,
      [(check_pairs, root, part, options.max_pixels) for part in parts],
      on_done=lambda place: bar.advance(len(parts[place])),
    )
  good = [row for result in results for row in result.rows]
  faults += [fault for result in results for fault in result.faults]
  faults = checks.unique(faults)
  checks.report(root, faults, options.strict)
  if not good:
    raise UserError(f"{root} has no good pair of photo and mask")
  write_text(root / "manifest.csv", _manifest(good))
  if faults:
    checks.write_csv(root / "skipped.csv", faults)
  turned = dict.fromkeys(name for part in results for name in part.turned)
  return Checked(good, faults, notes, tuple(turned))


def find_pairs(root: pathlib.Path) -> Checked:
  """Pair photos and masks, the manifest's first; add faults for the rest."""
  checker, notes = Checker(root), []
  listed = read_manifest(root) if (root / "manifest.csv").is_file() else []
  pairs: dict[tuple[str, str], Row] = {}
  for row in listed:
    pair = row["image"], row["mask"]
    if pair in pairs:
      detail = "more than once in manifest.csv"
      checker.add(checks.LISTED_TWICE, row["mask"], detail)
    pairs.setdefault(pair, row)
  listed_masks = {mask for _, mask in pairs}
  files = _files(checker, "images", notes)
  photos = _Photos(root / "images", files)
  for path in _files(checker, "masks", notes):
    mask = path.relative_to(root).as_posix()
    if mask in listed_masks:
      continue
    image = photos.of(path.relative_to(root / "masks"))
    if image is None:
      checker.add(checks.UNLISTED, mask, "no image of its name")
      continue
    name = image.relative_to(root).as_posix()
    pairs[name, mask] = {"image": name, "mask": mask}
  used = {image for image, _ in pairs}
  for path in files:
    name = path.relative_to(root).as_posix()
    if name not in used:
      checker.add(checks.UNLISTED, name, "no mask of its name")
  if not pairs and not checker.faults:
    raise UserError(
      f"{root} has no photos; put them in {root / 'images'} and their masks, "
      f"of the same names, in {root / 'masks'}"
    )
  return Checked(list(pairs.values()), checker.faults, tuple(notes))


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
    """Return the photo of `mask`, a path inside the folder of masks."""
    for name in _photo_names(mask):
      key = mask_files.name_key(name)
      if photo := self._exact.get(name) or self._alike.get(key):
        return photo
    return None


def _photo_names(mask: pathlib.Path) -> Iterator[str]:
  """Yield names of the photos that a mask may be of, the likeliest first."""
  bare = mask_files.photo_key(mask.stem) or ""
  single = mask_files.without_number(mask.stem) or ""
  numbered = mask_files.without_number(bare), mask_files.photo_key(single)
  for name in filter(None, (mask.stem, single, bare, *numbered)):
    yield mask.with_name(name).as_posix()


def _files(checker: Checker, name: str, notes: list[str]) -> list[pathlib.Path]:
  """Return the images in the folder `name` and below; note other files."""
  folder = checker.root / name
  if not folder.is_dir():
    return []
  listing = files_in(folder)
  for path, words in listing.problems:
    file = path.relative_to(checker.root).as_posix()
    checker.add(examples.UNREADABLE, file, words)
  if hidden := [path for path in listing.hidden if format_of(path)]:
    notes.append(describe_files(hidden, "hidden file", "left out"))
  if others := [path for path in listing.files if not format_of(path)]:
    notes.append(describe_files(others, "file", NOT_READ))
  return [path for path in listing.files if format_of(path)]


def check_pairs(
  root: pathlib.Path, rows: list[Row], max_pixels: int
) -> Checked:
  """Check pairs and measure the good ones."""
  result = Checked([], [])
  turned = []
  for row in rows:
    checker = Checker(root, max_pixels)
    image = checker.read(row["image"], checks.NO_FILE)
    mask = checker.read(row["mask"], checks.NO_FILE)
    if image and mask:
      checker.check_turned_sizes(image, mask, row["mask"])
    light = checker.check_mask(mask, row["mask"])
    if checker.faults or image is None or mask is None or light is None:
      result.faults.extend(checker.faults)
      continue
    if checks.is_ambiguous(image, mask):
      turned.append(row["image"])
    fraction = float(examples.mask_pixels(light).mean())
    measures = map(str, (*image.size, f"{fraction:.4f}"))
    result.rows.append(row | dict(zip(_MEASURED, measures, strict=True)))
  return result._replace(turned=tuple(turned))


def _manifest(rows: list[Row]) -> str:
  """Return image, mask and measures as CSV, then other columns of the rows."""
  names = dict.fromkeys(("image", "mask", *_MEASURED))
  names |= dict.fromkeys(name for row in rows for name in row if name)
  text = io.StringIO()
  writer = csv.DictWriter(
    CsvFile(text), names, restval="", extrasaction="ignore"
  )
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()
