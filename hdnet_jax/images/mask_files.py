"""Masks in folders, by the names of the composites that they are for."""

import collections
import pathlib
from collections.abc import Iterator

from hdnet_jax.errors import UserError
from hdnet_jax.images import mask_names
from hdnet_jax.images.formats import format_of

_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")  # of a.jpg and a.png, the mask

Key = tuple[str, str]  # of a folder, and of a name in it


class Masks:
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
  def of_all(cls, file: pathlib.Path) -> "Masks":
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


def told_apart(
  root: pathlib.Path, images: list[pathlib.Path], suffix: str | None
) -> tuple[list[pathlib.Path], Masks]:
  """Composites and masks of one folder."""
  marked = [
    path
    for path in images
    if mask_names.photo_key(path.stem, suffix) is not None
  ]
  marks = Masks(root, marked, suffix)
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
  return files, Masks(root, sorted(masks), suffix)


def _key(root: pathlib.Path, path: pathlib.Path, name: str) -> Key:
  return _key_of(path.relative_to(root), name)


def _key_of(place: pathlib.Path, name: str) -> Key:
  return mask_names.key(place.parent.as_posix()), mask_names.key(name)
