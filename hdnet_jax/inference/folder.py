"""Folders of composites: which file is whose mask, and what comes of it."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from hdnet_jax.data import mask_names
from hdnet_jax.errors import UserError
from hdnet_jax.folders import Listing, files_in, told
from hdnet_jax.image_formats import NOT_READ, format_of, written_format_of

_LOSSLESS = (
  "PNG",
  "TIFF",
  "BMP",
  "GIF",
)  # of a.jpg and a.png, the one that is a mask
_ENDS = ("_harmonized", "_compare")  # of what is made where nothing is said

Key = tuple[str, str]  # of a folder, and of a name in it


@dataclasses.dataclass(frozen=True)
class Pair:
  """A composite, its mask, and the file that is made of them."""

  composite: pathlib.Path
  mask: pathlib.Path
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
) -> Plan:
  """Finds the pairs of folders; what lies in `output` is never an input.

  Args:
    composites: their folder, searched in depth.
    masks: the folder of their masks, named as `mask_names` says, in folders of
      the same names; a file, which is the mask of all; or None for masks beside
      the composites.
    output: the folder of the results, which have the composites' names.
    mask_suffix: the end of the masks' names, with or without an extension.
    beside: of a result, another file that is written, too.

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
  if masks and masks.is_file():
    files = [path for path in images if not path.samefile(masks)]
    index = _Masks.of_all(masks)
  elif together:
    files, index = _told_apart(composites, images, mask_suffix)
  else:
    found = _images(masks, [output, composites], result)
    files, index = images, _Masks(masks, found, mask_suffix)
  if not files:
    raise UserError(f"--input-dir {composites} has no composite")
  _pair(composites, files, index, output, result)
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


def _told_apart(
  root: pathlib.Path, images: list[pathlib.Path], suffix: str | None
) -> tuple[list[pathlib.Path], "_Masks"]:
  """Composites and masks of one folder."""
  marked = [
    path
    for path in images
    if mask_names.photo_key(path.stem, suffix) is not None
  ]
  marks = _Masks(root, marked, suffix)
  if suffix is not None:
    return sorted(set(images) - set(marked)), marks
  names = {_key(root, path, path.name): path for path in images}
  beside: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
  masks = set(marked)
  for path in images:
    if path in masks:
      continue
    key = _key(root, path, path.stem)
    if key in names:  # a.jpg.png beside a.jpg
      masks.add(path)
    elif key not in marks.marked:
      beside[key].append(path)
  for paths in beside.values():
    lossless = [path for path in paths if format_of(path) in _LOSSLESS]
    if len(paths) == 2 and len(lossless) == 1:  # a.png beside a.jpg
      masks.update(lossless)
  files = [path for path in images if path not in masks]
  return files, _Masks(root, sorted(masks), suffix)


class _Masks:
  """Masks by the names of the composites that they are for."""

  def __init__(
    self, root: pathlib.Path, files: list[pathlib.Path], suffix: str | None
  ):
    self._files = files
    self._used: collections.Counter[pathlib.Path] = collections.Counter()
    self._plain: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
    self.marked: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
    self._all: pathlib.Path | None = None
    for path in files:
      if suffix is None:
        self._plain[_key(root, path, path.stem)].append(path)
      name = mask_names.photo_key(path.stem, suffix)
      if name is not None:
        self.marked[_key(root, path, name)].append(path)

  @classmethod
  def of_all(cls, file: pathlib.Path) -> "_Masks":
    """One mask for whatever there is."""
    masks = cls(file.parent, [], None)
    masks._all = file
    return masks

  def of(self, place: pathlib.Path) -> pathlib.Path | None:
    """The mask of a composite, by its path inside its folder.

    Raises:
      UserError: where there are several.
    """
    if self._all:
      return self._all
    for found in self._found(place):
      # Names that are spelled alike count before others of the same key.
      alike = [path for path in found if path.stem.startswith(place.stem)]
      found = alike or found
      if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1]} are both for it; keep one")
      self._used[found[0]] += 1
      return found[0]
    return None

  def _found(self, place: pathlib.Path) -> Iterator[list[pathlib.Path]]:
    """Masks that may be meant, the likeliest first."""
    names = place.stem, place.name, mask_names.without_number(place.stem)
    for name in filter(None, names):
      for index in (self._plain, self.marked):
        if found := index.get(_key_of(place, name)):
          yield found
    for inner in (place, *place.parents):  # mask.png beside it, or above
      if found := self.marked.get(_key_of(inner, "")):
        yield found

  def unused(self) -> list[pathlib.Path]:
    return [path for path in self._files if path not in self._used]

  def shared(self) -> list[pathlib.Path]:
    return [path for path in self._files if self._used[path] > 1]


def _key(root: pathlib.Path, path: pathlib.Path, name: str) -> Key:
  return _key_of(path.relative_to(root), name)


def _key_of(place: pathlib.Path, name: str) -> Key:
  return mask_names.key(place.parent.as_posix()), mask_names.key(name)


def _pair(
  root: pathlib.Path,
  files: list[pathlib.Path],
  masks: _Masks,
  output: pathlib.Path,
  result: Plan,
) -> None:
  """Adds pairs, and failures, of composites."""
  places = {path.relative_to(root) for path in files}
  stems = {place.with_suffix("") for place in places}
  results = []
  for place in sorted(places):
    path = root / place
    try:
      mask = masks.of(place)
    except UserError as error:
      result.failures.append(f"{path} has two masks: {error}")
      continue
    if mask is not None:
      result.pairs.append(Pair(path, mask, output / _result_name(place)))
    elif any(
      place.stem.endswith(end)
      and place.with_name(place.stem.removesuffix(end)) in stems
      for end in _ENDS
    ):
      results.append(path)
    else:
      result.failures.append(
        f"{path} has no mask {place.with_suffix('')}.*; add one, named so or "
        "with _mask, or give --mask-suffix"
      )
  if results:
    result.notes.append(told(results, "earlier result", "left out"))


def _result_name(place: pathlib.Path) -> pathlib.Path:
  """Where a composite's result goes, inside the output folder."""
  return place if written_format_of(place) else place.with_suffix(".png")


def _keep_apart(
  result: Plan, beside: Callable[[pathlib.Path], pathlib.Path] | None
) -> None:
  """No two composites become one file: the second is a failure."""
  taken: dict[pathlib.Path, pathlib.Path] = {}
  kept = []
  for pair in result.pairs:
    outputs = [pair.output, *([beside(pair.output)] if beside else [])]
    if rival := next(filter(None, map(taken.get, outputs)), None):
      result.failures.append(
        f"{pair.composite} and {rival} would be written to one file; rename one"
      )
      continue
    taken |= dict.fromkeys(outputs, pair.composite)
    kept.append(pair)
  result.pairs = kept
