"""What iHarmony4's lists name, and what is wrong with the lists."""

import logging
import pathlib
from collections.abc import Sequence

from hdnet_jax.data.iharmony4 import (
  SPLITS,
  Triplet,
  find_lists,
  find_own_lists,
  list_subset,
  read_list,
)
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Fault
from hdnet_jax.errors import UserError

log = logging.getLogger(__name__)


def read_lists(
  root: pathlib.Path, subsets: Sequence[str]
) -> tuple[dict[str, list[Triplet]], list[Fault]]:
  """The triplets by `SUBSET_SPLIT`, in the lists' order; faults of the lists.

  Only triplets whose composite exists are returned, each once a split. An
  image in both splits is their authors' choice; it is said, and kept.
  """
  triplets: dict[str, list[Triplet]] = {}
  faults: list[Fault] = []
  listed: set[str] = set()
  for split in SPLITS:
    seen: set[str] = set()
    lists = find_lists(root, split)
    if not lists:
      raise UserError(
        f"iHarmony4 is not at {root.absolute()}: IHD_{split}.txt is missing; "
        "download the data set and unpack it there, lists and all"
      )
    for path in lists:
      name = path.relative_to(root).as_posix()
      for triplet in _read_list(root, path, subsets, faults):
        if triplet.composite in seen:
          faults.append(Fault(checks.LISTED_TWICE, triplet.composite, name))
          continue
        seen.add(triplet.composite)
        if not (root / triplet.composite).is_file():
          faults.append(Fault(checks.NO_FILE, triplet.composite, name))
          continue
        triplets.setdefault(f"{triplet.subset}_{split}", []).append(triplet)
    if listed & seen:
      log.warning("images in train and in test, too: %d", len(listed & seen))
    listed |= seen
    for path in find_own_lists(root, split, subsets):
      if path not in lists:
        faults += _compare(root, path, lists[0], seen)
  faults += _unlisted(root, subsets, listed)
  if not triplets:
    raise UserError(
      f"{root} has none of the listed images of {', '.join(subsets)}; unpack "
      "the data set there"
    )
  return triplets, faults


def _read_list(
  root: pathlib.Path,
  path: pathlib.Path,
  subsets: Sequence[str],
  faults: list[Fault],
) -> list[Triplet]:
  """What a list names of the subsets; its other lines become faults."""
  if list_subset(path) not in ("", *subsets):
    return []
  name = path.relative_to(root).as_posix()
  triplets, bad = read_list(path)
  faults += [
    Fault(checks.BAD_LINE, f"{name}:{number}", repr(line))
    for number, line in bad.items()
  ]
  triplets = [triplet for triplet in triplets if triplet.subset in subsets]
  # A subset that was never unpacked would be thousands of faults.
  for subset in sorted({triplet.subset for triplet in triplets}):
    if not (root / subset).is_dir():
      raise UserError(
        f"{root} has no folder {subset}, which {name} lists; unpack it there, "
        "or name the subsets that are there with --subset"
      )
  return triplets


def _compare(
  root: pathlib.Path, own: pathlib.Path, whole: pathlib.Path, listed: set[str]
) -> list[Fault]:
  """Faults of a subset's own list; one where the whole list says otherwise.

  Args:
    listed: composites that the whole list names.
  """
  faults: list[Fault] = []
  subset = list_subset(own)
  named = {
    triplet.composite for triplet in _read_list(root, own, (subset,), faults)
  }
  others = {name for name in listed if name.startswith(f"{subset}/")}
  if named != others:
    detail = (
      f"only here: {len(named - others)}, only in {whole.name}: "
      f"{len(others - named)}; the first: {min(named ^ others)}"
    )
    name = own.relative_to(root).as_posix()
    faults.append(Fault(checks.LISTS_DISAGREE, name, detail))
  return faults


def _unlisted(
  root: pathlib.Path, subsets: Sequence[str], listed: set[str]
) -> list[Fault]:
  """Composites that no list names."""
  faults = []
  for subset in subsets:
    for path in sorted((root / subset / "composite_images").glob("*")):
      name = path.relative_to(root).as_posix()
      image = path.suffix.lower() in (".jpg", ".jpeg", ".png")
      if image and not path.name.startswith(".") and name not in listed:
        faults.append(Fault(checks.UNLISTED, name, "in no train or test list"))
  return faults
