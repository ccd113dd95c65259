"""Folders of composites: which file is whose mask, and what is written."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from hdnet_jax.errors import UserError
from hdnet_jax.images.folders import describe_files, files_in
from hdnet_jax.images.formats import (
  NOT_READ,
  format_in,
  format_of,
  suffix_of,
  written_format_of,
)
from hdnet_jax.images.mask_files import Masks, split_masks

_RESULT_ENDS = ("_harmonized", "_compare")  # of the default names


@dataclasses.dataclass(frozen=True)
class Pair:
  """A composite, its mask, and the file that is made of them."""

  composite: pathlib.Path
  mask: pathlib.Path | None  # None: its own alpha
  output: pathlib.Path


@dataclasses.dataclass
class Plan:
  """Pairs to harmonize, a line for each file that is not, and notes."""

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
  """Pair the composites of a folder with masks and results.

  Args:
    composites: their folder, searched in depth.
    masks: the folder of their masks, named as `mask_files` says, in folders of
      the same names; a file, which is the mask of all; or None for masks beside
      the composites.
    output: the folder of the results, which have the composites' names. Files
      in it are no inputs.
    mask_suffix: the end of the masks' names, with or without an extension.
    beside: gives another file that is written with a result.
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
  others = [output] if masks is None or together else [output, masks]
  images = _images(composites, others, result)
  index = None
  if from_alpha:
    pass
  elif masks and masks.is_file():
    itself = os.path.realpath(masks)
    images = [path for path in images if os.path.realpath(path) != itself]
    index = Masks(masks.parent, [], single=masks)
  elif masks is None or together:
    images, index = split_masks(composites, images, mask_suffix)
  else:
    files = _images(masks, [output, composites], result)
    index = Masks(masks, files, mask_suffix)
  if not images:
    raise UserError(f"--input-dir {composites} has no composite")
  for path, mask in _pair(composites, images, index, result):
    name = _result_name(path, suffix).relative_to(composites)
    result.pairs.append(Pair(path, mask, output / name))
  _keep_apart(result, beside)
  if index and (unused := index.unused()):
    result.notes.append(describe_files(unused, "mask", "without a composite"))
  if index and (shared := index.shared()):
    result.notes.append(
      describe_files(shared, "mask", "for several composites")
    )
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
  listing = files_in(folder, without)
  result.failures += [f"{path} {words}" for path, words in listing.problems]
  if hidden := [path for path in listing.hidden if format_of(path)]:
    result.notes.append(describe_files(hidden, "hidden file", "left out"))
  if others := [path for path in listing.files if not format_of(path)]:
    result.notes.append(describe_files(others, "file", NOT_READ))
  return [path for path in listing.files if format_of(path)]


def _pair(
  root: pathlib.Path,
  files: list[pathlib.Path],
  masks: Masks | None,
  result: Plan,
) -> Iterator[tuple[pathlib.Path, pathlib.Path | None]]:
  """Yield composites and their masks; add failures to the result."""
  if masks is None:
    yield from ((path, None) for path in files)
    return
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
      for end in _RESULT_ENDS
    ):
      earlier.append(path)
    else:
      result.failures.append(
        f"{path} has no mask {place.with_suffix('')}.*; add one, named so or "
        "with _mask, or give --mask-suffix"
      )
  if earlier:
    result.notes.append(describe_files(earlier, "earlier result", "left out"))


def _result_name(path: pathlib.Path, suffix: str | None) -> pathlib.Path:
  """Return a composite's path with the extension of its result."""
  if suffix is None:
    format = format_in(path) or format_of(path)
    suffix = suffix_of(format)
  else:
    format = written_format_of(pathlib.PurePath(f"x{suffix}"))
  is_named_so = written_format_of(path) == format
  return path if is_named_so else path.with_suffix(suffix)


def _keep_apart(
  result: Plan, beside: Callable[[pathlib.Path], pathlib.Path] | None
) -> None:
  """Fail what would be written over inputs or other results."""
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
