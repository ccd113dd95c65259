"""Folders of composites: which file is whose mask, and what comes of it."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from hdnet_jax.errors import UserError
from hdnet_jax.images.folders import Listing, files_in, told
from hdnet_jax.images.formats import (
  NOT_READ,
  format_in,
  format_of,
  suffix_of,
  written_format_of,
)
from hdnet_jax.images.mask_files import Masks, split_masks

_ENDS = ("_harmonized", "_compare")  # of what is made where nothing is said


@dataclasses.dataclass(frozen=True)
class Pair:
  """A composite, its mask, and the file that is made of them."""

  composite: pathlib.Path
  mask: pathlib.Path | None  # None: its own alpha
  output: pathlib.Path


@dataclasses.dataclass
class Plan:
  """What is to be done; a line for each file that cannot be; and notes."""

  pairs: list[Pair] = dataclasses.field(default_factory=list)
  failures: list[str] = dataclasses.field(default_factory=list)
  notes: list[str] = dataclasses.field(default_factory=list)


def plan(
  composites: pathlib.Path,
  masks: pathlib.Path | None,
  output: pathlib.Path,
  mask_suffix: str | None = None,
  beside: Callable[[pathlib.Path], pathlib.Path] | None = None,
  suffix: str | None = None,
  from_alpha: bool = False,
) -> Plan:
  """Finds the pairs of folders; what lies in `output` is never an input.

  Args:
    composites: their folder, searched in depth.
    masks: the folder of their masks, named as `mask_files` says, in folders of
      the same names; a file, which is the mask of all; or None for masks beside
      the composites.
    output: the folder of the results, which have the composites' names, but
      for the extension where it would not be that of their format.
    mask_suffix: the end of the masks' names, with or without an extension.
    beside: of a result, another file that is written, too.
    suffix: the results' extension; by default that of the composite's format,
      as its contents are, and .png where that is not written.
    from_alpha: whether the composites' own alpha is their mask.

  Raises:
    UserError: where a folder is missing, has no image, or is the output.
  """
  _check(composites, masks, output)
  if mask_suffix and format_of(pathlib.PurePath(f"x{mask_suffix}")):
    mask_suffix = pathlib.PurePath(f"x{mask_suffix}").stem[1:]
  result = Plan()
  together = masks is None or os.path.samefile(composites, masks)
  others = [] if masks is None else [masks]
  images = _images(composites, [output, *([] if together else others)], result)
  if from_alpha:
    for path in images:
      name = _result_name(path, suffix).relative_to(composites)
      result.pairs.append(Pair(path, None, output / name))
    if not images:
      raise UserError(f"--input-dir {composites} has no composite")
    _keep_apart(result, beside)
    return result
  if masks and masks.is_file():
    itself = os.path.realpath(masks)
    files = [path for path in images if os.path.realpath(path) != itself]
    index = Masks(masks.parent, [], single=masks)
  elif together:
    files, index = split_masks(composites, images, mask_suffix)
  else:
    found = _images(masks, [output, composites], result)
    files, index = images, Masks(masks, found, mask_suffix)
  if not files:
    raise UserError(f"--input-dir {composites} has no composite")
  for path, mask in _paired(composites, files, index, result):
    name = _result_name(path, suffix).relative_to(composites)
    result.pairs.append(Pair(path, mask, output / name))
  _keep_apart(result, beside)
  if unused := index.unused():
    result.notes.append(told(unused, "mask", "without a composite"))
  if shared := index.shared():
    result.notes.append(told(shared, "mask", "for several composites"))
  return result


def _check(
  composites: pathlib.Path, masks: pathlib.Path | None, output: pathlib.Path
) -> None:
  for flag, path in (("--input-dir", composites), ("--mask-dir", masks)):
    if path is None:
      continue
    if not (path.is_dir() or (path == masks and path.is_file())):
      raise UserError(f"{flag} {path} is not a folder")
    if os.path.realpath(path) == os.path.realpath(output):
      raise UserError(
        f"--output-dir {output} is {flag}; choose another folder, for results "
        "have the names of composites"
      )
  if os.path.lexists(output) and not output.is_dir():
    raise UserError(f"--output-dir {output} is not a folder; name another")


def _images(
  folder: pathlib.Path, without: Iterable[pathlib.Path], result: Plan
) -> list[pathlib.Path]:
  listing: Listing = files_in(folder, without)
  result.failures += [f"{path} {words}" for path, words in listing.problems]
  if hidden := [path for path in listing.hidden if format_of(path)]:
    result.notes.append(told(hidden, "hidden file", "left out"))
  if others := [path for path in listing.files if not format_of(path)]:
    result.notes.append(told(others, "file", NOT_READ))
  return [path for path in listing.files if format_of(path)]


def _paired(
  root: pathlib.Path, files: list[pathlib.Path], masks: Masks, result: Plan
) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
  """Composites and their masks; failures go to the result."""
  stems = {path.with_suffix("") for path in files}
  earlier = []
  for path in files:
    place = path.relative_to(root)
    try:
      mask = masks.of(place)
    except UserError as error:
      result.failures.append(f"{path} has two masks: {error}")
      continue
    if mask is not None:
      yield path, mask
    elif any(
      path.stem.endswith(end)
      and path.with_name(path.stem.removesuffix(end)) in stems
      for end in _ENDS
    ):
      earlier.append(path)
    else:
      result.failures.append(
        f"{path} has no mask {place.with_suffix('')}.*; add one, named so or "
        "with _mask, or give --mask-suffix"
      )
  if earlier:
    result.notes.append(told(earlier, "earlier result", "left out"))


def _result_name(path: pathlib.Path, suffix: str | None) -> pathlib.Path:
  """A composite's path, with the extension that its result has."""
  named = written_format_of(path)
  if suffix is None:
    found = format_in(path) or format_of(path)
    return path if named == found else path.with_suffix(suffix_of(found))
  wanted = written_format_of(pathlib.PurePath(f"x{suffix}"))
  return path if named == wanted else path.with_suffix(suffix)


def _keep_apart(
  result: Plan, beside: Callable[[pathlib.Path], pathlib.Path] | None
) -> None:
  """Makes failures of all that would be written over inputs, or other results.

  Args:
    beside: as of `plan`.
  """
  inputs = {
    os.path.realpath(path)
    for pair in result.pairs
    for path in filter(None, (pair.composite, pair.mask))
  }
  taken: dict[pathlib.Path, pathlib.Path] = {}
  kept = []
  for pair in result.pairs:
    if os.path.realpath(pair.output) in inputs:
      result.failures.append(
        f"{pair.output}, of {pair.composite}, is an input; choose another "
        "--output-dir"
      )
      continue
    outputs = [pair.output, *([beside(pair.output)] if beside else [])]
    if rival := next(filter(None, map(taken.get, outputs)), None):
      result.failures.append(
        f"{pair.composite} and {rival} would be written to one file; rename one"
      )
      continue
    taken |= dict.fromkeys(outputs, pair.composite)
    kept.append(pair)
  result.pairs = kept
