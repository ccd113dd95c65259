"""Checks of iHarmony4's lists: what they name, and what they leave out."""

import logging
import pathlib
from collections.abc import Sequence

from hdnet_jax.data import iharmony4
from hdnet_jax.data.iharmony4 import SPLITS, Triplet
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Checker, Fault
from hdnet_jax.errors import UserError

log = logging.getLogger(__name__)


def read_lists(
  root: pathlib.Path, subsets: Sequence[str]
) -> tuple[dict[str, list[Triplet]], list[Fault]]:
  """Read the triplets by `SUBSET_SPLIT`, in the lists' order, and check them.

  Only triplets whose composite exists are returned, each once a split. An
  image may be in both splits: it is kept, and the log says so.
  """
  checker = Checker(root)
  triplets: dict[str, list[Triplet]] = {}
  listed: set[str] = set()
  for split in SPLITS:
    lists = iharmony4.find_lists(root, split)
    if not lists:
      raise UserError(
        f"iHarmony4 is not at {root.absolute()}: IHD_{split}.txt is missing; "
        "download the data set and unpack it there, lists and all"
      )
    seen: set[str] = set()
    for path in lists:
      name = path.relative_to(root).as_posix()
      for triplet in _read_list(checker, path, subsets):
        composite = triplet.composite
        if composite in seen:
          checker.add(checks.LISTED_TWICE, composite, name)
          continue
        seen.add(composite)
        if (root / composite).is_file():
          triplets.setdefault(f"{triplet.subset}_{split}", []).append(triplet)
        else:
          checker.add(checks.NO_FILE, composite, name)
    if listed & seen:
      log.warning("images in train and in test, too: %d", len(listed & seen))
    listed |= seen
    for path in iharmony4.find_own_lists(root, split, subsets):
      if path not in lists:
        _compare(checker, path, lists[0], seen)
  _find_unlisted(checker, subsets, listed)
  if not triplets:
    raise UserError(
      f"{root} has none of the listed images of {', '.join(subsets)}; unpack "
      "the data set there"
    )
  return triplets, checker.faults


def _read_list(
  checker: Checker, path: pathlib.Path, subsets: Sequence[str]
) -> list[Triplet]:
  """Read a list's triplets of the subsets; add bad lines to the faults."""
  if iharmony4.list_subset(path) not in ("", *subsets):
    return []
  name = path.relative_to(checker.root).as_posix()
  triplets, bad = iharmony4.read_list(path)
  for number, line in bad.items():
    checker.add(checks.BAD_LINE, f"{name}:{number}", repr(line))
  triplets = [triplet for triplet in triplets if triplet.subset in subsets]
  # A subset that was never unpacked would be thousands of faults.
  for subset in sorted({triplet.subset for triplet in triplets}):
    if not (checker.root / subset).is_dir():
      raise UserError(
        f"{checker.root} has no folder {subset}, which {name} lists; unpack it "
        "there, or name the subsets that are there with --subset"
      )
  return triplets


def _compare(
  checker: Checker, own: pathlib.Path, whole: pathlib.Path, listed: set[str]
) -> None:
  """Compare a subset's own list with the composites that `whole` lists."""
  subset = iharmony4.list_subset(own)
  named = {triplet.composite for triplet in _read_list(checker, own, (subset,))}
  others = {name for name in listed if name.startswith(f"{subset}/")}
  if named != others:
    detail = (
      f"only here: {len(named - others)}, only in {whole.name}: "
      f"{len(others - named)}; the first: {min(named ^ others)}"
    )
    name = own.relative_to(checker.root).as_posix()
    checker.add(checks.LISTS_DISAGREE, name, detail)


def _find_unlisted(
  checker: Checker, subsets: Sequence[str], listed: set[str]
) -> None:
  for subset in subsets:
    folder = checker.root / subset / "composite_images"
    for path in sorted(folder.glob("*")):
      name = path.relative_to(checker.root).as_posix()
      image = path.suffix.lower() in (".jpg", ".jpeg", ".png")
      if image and not path.name.startswith(".") and name not in listed:
        checker.add(checks.UNLISTED, name, "in no train or test list")
