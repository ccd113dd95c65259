"""A photo folder checked, and its manifest written.

  root/images/NAME.jpg                     a photo
  root/masks/NAME.png, NAME_1.png, ...     its objects: white is foreground

Pairs are those of an existing manifest, whose further columns are kept, and
what lies in the folders besides, matched by name.
"""

import csv
import io
import pathlib
from typing import NamedTuple

from hdnet_jax.data import checks, records
from hdnet_jax.data.checks import Fault
from hdnet_jax.data.photos import read_manifest
from hdnet_jax.data.prepare import Options
from hdnet_jax.data.processes import bar_of, in_processes
from hdnet_jax.errors import UserError
from hdnet_jax.files import write_text

Row = dict[str, str]

_MEASURED = ("width", "height", "foreground_fraction")
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_CHUNK = 64  # pairs


class Checked(NamedTuple):
  """Good rows with their measures, and what was wrong with the others.

  turned: photos that are turned by EXIF data, whose masks' sizes do not tell
    if they are turned, too.
  """

  rows: list[Row]
  faults: list[Fault]
  turned: list[str]


def prepare_photos(root: pathlib.Path, options: Options) -> Checked:
  """Checks every pair of the folder at `root` and writes `manifest.csv`.

  Raises:
    UserError: where there are no photos, or, if strict, for any fault; then
      nothing is written.
  """
  rows, faults = find_pairs(root)
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
  turned = [name for result in results for name in result.turned]
  return Checked(good, faults, list(dict.fromkeys(turned)))


def find_pairs(root: pathlib.Path) -> tuple[list[Row], list[Fault]]:
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
  photos = _files(root / "images")
  images: dict[str, pathlib.Path] = {}
  for path in photos:
    images.setdefault(_key(path, root / "images"), path)
  used = {image for image, _ in known}
  for path in _files(root / "masks"):
    mask = path.relative_to(root).as_posix()
    if mask in masks_there:
      continue
    key = _key(path, root / "masks")
    image = images.get(key) or images.get(key.rpartition("_")[0])
    if image is None:
      detail = "no image of its name"
      faults.append(Fault(checks.UNLISTED, mask, detail))
      continue
    name = image.relative_to(root).as_posix()
    used.add(name)
    rows.append({"image": name, "mask": mask})
  for path in photos:
    name = path.relative_to(root).as_posix()
    if name not in used:
      faults.append(Fault(checks.UNLISTED, name, "no mask of its name"))
  if not rows and not faults:
    raise UserError(
      f"{root} has no photos; put them in {root / 'images'} and their masks, "
      f"of the same names, in {root / 'masks'}"
    )
  return rows, faults


def _key(path: pathlib.Path, folder: pathlib.Path) -> str:
  """What a photo and its mask have in common: the place, but for the format."""
  return path.relative_to(folder).with_suffix("").as_posix()


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
  return [
    path
    for path in sorted(folder.rglob("*"))
    if path.suffix.lower() in _IMAGES and not path.name.startswith(".")
  ]


def check_pairs(
  root: pathlib.Path, rows: list[Row], max_pixels: int
) -> Checked:
  checked = Checked([], [], [])
  for row in rows:
    for found, more in zip(
      checked, check_pair(root, row, max_pixels), strict=True
    ):
      found += more
  return checked


def check_pair(root: pathlib.Path, row: Row, max_pixels: int) -> Checked:
  """The row with its measures; none where anything is wrong."""
  faults: list[Fault] = []
  image = checks.read(root, row["image"], max_pixels, faults, checks.NO_FILE)
  mask = checks.read(root, row["mask"], max_pixels, faults, checks.NO_FILE)
  turned = []
  if image and mask:
    checks.check_turned_sizes(image, mask, row["mask"], faults)
    if checks.is_ambiguous(image, mask):
      turned.append(row["image"])
  light = checks.check_mask(mask, row["mask"], faults)
  if faults:
    return Checked([], faults, [])
  fraction = float(records.mask_pixels(light).mean())
  values = (*image.size, f"{fraction:.4f}")
  measures = zip(_MEASURED, map(str, values), strict=True)
  return Checked([{**row, **dict(measures)}], [], turned)


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
