"""Pair the composites of a folder with their masks, and name the results."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from hdnet_jax.atomic_write import with_end
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
from hdnet_jax.inference.shard import Shard

_RESULT_ENDS = ("_harmonized", "_compare", "_preview")  # of the default names
_ALL = Shard(1, 1)


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
  shard: Shard = _ALL,
  watched: bool = False,
) -> Plan:
  """Pair the composites of a folder with masks and results.

  Args:
    composites: their folder, searched recursively.
    masks: the folder of their masks, which are named as `mask_files` says, in
      subfolders of the same names; a file that is the mask of all; or None for
      masks beside the composites.
    output: the folder of the results, which have the composites' names. Files
      in it are no inputs.
    mask_suffix: the end of the masks' names, with or without an extension.
    beside: returns the path of another file that is written with a result.
    suffix: the results' extension, or end, such as "_preview.png"; by default
      the extension of the format of the composite's contents, or .png if that
      format is not written.
    from_alpha: whether the composites' own alpha is their mask.
    shard: the share of the folder that is planned and reported on. Composites
      that could be written to the same file are in the same share.
    watched: whether more files are to come. Then the folder may have no
      composite yet, and masks may be without theirs.

  Raises:
    UserError: where a folder is missing, has no image, or is the output.
  """
  flag = "--watch" if watched else "--input-dir"
  _check(composites, masks, output, flag)
  if mask_suffix and format_of(pathlib.PurePath(f"x{mask_suffix}")):
    mask_suffix = pathlib.PurePath(f"x{mask_suffix}").stem[1:]
  result = Plan()
  together = masks is None or os.path.samefile(composites, masks)
  others = [output] if masks is None or together else [output, masks]
  images = inputs = _images(composites, others, shard, result)
  index = None
  if from_alpha:
    pass
  elif masks and masks.is_file():
    itself = os.path.realpath(masks)
    images = [path for path in images if os.path.realpath(path) != itself]
    index, inputs = Masks(masks.parent, [], single=masks), [*inputs, masks]
  elif masks is None or together:
    images, index = split_masks(composites, images, mask_suffix)
  else:
    files = _images(masks, [output, composites], shard, result)
    index, inputs = Masks(masks, files, mask_suffix), [*inputs, *files]
  if not (images or watched):
    raise UserError(f"{flag} {composites} has no composite")
  images = [path for path in images if _is_in(shard, path, composites)]
  for path, mask in _pair(composites, images, index, result):
    name = _result_name(path, suffix).relative_to(composites)
    result.pairs.append(Pair(path, mask, output / name))
  _keep_apart(result, inputs, beside)
  if index and shard == _ALL and not watched:
    result.notes += _describe_masks(index)
  return result


def _check(
  composites: pathlib.Path,
  masks: pathlib.Path | None,
  output: pathlib.Path,
  flag: str,
) -> None:
  for name, path in ((flag, composites), ("--mask-dir", masks)):
    if path is None:
      continue
    if not (path.is_dir() or (path == masks and path.is_file())):
      raise UserError(f"{name} {path} is not a folder")
    if os.path.realpath(path) == os.path.realpath(output):
      raise UserError(
        f"--output-dir {output} is {name}; choose another folder, for results "
        "have the names of composites"
      )
  if os.path.lexists(output) and not output.is_dir():
    raise UserError(f"--output-dir {output} is not a folder; name another")


def _is_in(shard: Shard, path: pathlib.Path, root: pathlib.Path) -> bool:
  """Return whether a file is in a share; its results are in the same one."""
  place = path.relative_to(root).with_suffix("")
  return shard.has(_without_end(place).as_posix())


def _without_end(place: pathlib.PurePath) -> pathlib.PurePath:
  """Remove the ends of results' names from a path without a suffix."""
  for end in _RESULT_ENDS:
    if place.name.endswith(end) and place.name != end:
      return _without_end(place.with_name(place.name.removesuffix(end)))
  return place


def _images(
  folder: pathlib.Path,
  without: Iterable[pathlib.Path],
  shard: Shard,
  result: Plan,
) -> list[pathlib.Path]:
  """List the images of a folder; add to the result what is not read."""
  listing = files_in(folder, without)

  def is_told(path: pathlib.Path) -> bool:
    return path == folder or _is_in(shard, path, folder)

  result.failures += [
    f"{path} {words}" for path, words in listing.problems if is_told(path)
  ]
  hidden = [path for path in listing.hidden if format_of(path)]
  if hidden := list(filter(is_told, hidden)):
    result.notes.append(describe_files(hidden, "hidden file", "left out"))
  others = [path for path in listing.files if not format_of(path)]
  if others := list(filter(is_told, others)):
    result.notes.append(describe_files(others, "file", NOT_READ))
  return [path for path in listing.files if format_of(path)]


def _pair(
  root: pathlib.Path,
  files: list[pathlib.Path],
  masks: Masks | None,
  result: Plan,
) -> Iterator[tuple[pathlib.Path, pathlib.Path | None]]:
  """Yield composites and their masks; add failures to the result."""
  stems = {str(path.with_suffix("")) for path in files}
  earlier = []
  for path in files:
    place, stem = path.relative_to(root), str(path.with_suffix(""))
    try:
      mask = masks.of(place) if masks else None
    except UserError as error:
      result.failures.append(f"{path} has two masks: {error}")
      continue
    if mask is None and any(
      stem.endswith(end) and stem.removesuffix(end) in stems
      for end in _RESULT_ENDS
    ):
      earlier.append(path)
    elif mask or masks is None:
      yield path, mask
    else:
      result.failures.append(
        f"{path} has no mask {place.with_suffix('')}.*; add one, named so or "
        "with _mask, or give --mask-suffix"
      )
  if earlier:
    result.notes.append(describe_files(earlier, "earlier result", "left out"))


def _describe_masks(masks: Masks) -> Iterator[str]:
  if unused := masks.unused():
    yield describe_files(unused, "mask", "without a composite")
  if shared := masks.shared():
    yield describe_files(shared, "mask", "for several composites")


def _result_name(path: pathlib.Path, suffix: str | None) -> pathlib.Path:
  """Return a composite's path with the extension, or end, of its result."""
  if suffix and not suffix.startswith("."):
    return with_end(path, suffix)
  if suffix is None:
    format = format_in(path) or format_of(path)
    suffix = suffix_of(format)
  else:
    format = written_format_of(pathlib.PurePath(f"x{suffix}"))
  is_named_so = written_format_of(path) == format
  return path if is_named_so else path.with_suffix(suffix)


def _keep_apart(
  result: Plan,
  inputs: Iterable[pathlib.Path],
  beside: Callable[[pathlib.Path], pathlib.Path] | None,
) -> None:
  """Turn pairs that would overwrite inputs or other results into failures."""
  read = set(_real_paths(inputs))
  taken: dict[pathlib.Path, pathlib.Path] = {}
  kept = []
  real = _real_paths(pair.output for pair in result.pairs)
  for pair, real_output in zip(result.pairs, real, strict=True):
    if real_output in read:
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


def _real_paths(paths: Iterable[pathlib.Path]) -> Iterator[str]:
  """Yield `os.path.realpath` of files; each folder is looked at once."""
  folders: dict[pathlib.Path, str] = {}
  for path in paths:
    if path.is_symlink():
      yield os.path.realpath(path)
      continue
    if path.parent not in folders:
      folders[path.parent] = os.path.realpath(path.parent)
    yield os.path.join(folders[path.parent], path.name)
