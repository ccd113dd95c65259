"""Find the masks of composites by their names.

A mask of the photo `a.jpg` is named `a.png`, `a_mask.png` or `mask_a.png`. In
place of `_` there may be `-`, `.` or a space; of `mask`, another of `WORDS`; of
`a`, the photo's whole name, as in `a.jpg.png`. `mask.png` is that of a whole
folder. Neither case nor the composition of accents matters.
"""

import collections
import pathlib
import re
import unicodedata
from collections.abc import Iterator

from hdnet_jax.errors import UserError
from hdnet_jax.images.formats import format_of

WORDS = ("mask", "matte", "alpha", "segmentation", "seg")
_WORD = "|".join(WORDS)
_MARKED = re.compile(rf"(.+)[-_. ](?:{_WORD})|(?:{_WORD})[-_. ](.+)", re.DOTALL)
_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)
_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")  # the mask, if a.png is beside a.jpg

Key = tuple[str, str]  # of a folder, and of a name in it


def name_key(name: str) -> str:
  """Return a key that is the same whatever a name's case and composition."""
  composed = unicodedata.normalize("NFC", name)
  return unicodedata.normalize("NFC", composed.casefold())


def photo_key(mask: str, suffix: str | None = None) -> str | None:
  """Return a mask's stem without the word that marks it as a mask.

  Args:
    mask: the name without its extension.
    suffix: the end that marks masks, in place of `WORDS`.

  Returns:
    A key; "" for a word alone; None where there is no such word.
  """
  name = name_key(mask)
  if suffix is not None:
    end = name_key(suffix)
    return name.removesuffix(end) if name.endswith(end) else None
  if name in WORDS:
    return ""
  found = _MARKED.fullmatch(name)
  return found and (found[1] or found[2])


def without_number(name: str) -> str | None:
  """Return `a` of `a_1`; None where there is no number."""
  found = _NUMBERED.fullmatch(name)
  return found and found[1]


class Masks:
  """Masks by the names of the composites that they are for.

  Args:
    root: their folder.
    files: their paths.
    suffix: as in `photo_key`.
    single: one mask for all composites, in place of `files`.
  """

  def __init__(
    self,
    root: pathlib.Path,
    files: list[pathlib.Path],
    suffix: str | None = None,
    single: pathlib.Path | None = None,
  ):
    self._files, self._single = files, single
    self._used: collections.Counter[pathlib.Path] = collections.Counter()
    self._plain: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
    self.marked: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
    for path in files:
      place = path.relative_to(root)
      if suffix is None:
        self._plain[_key(place, path.stem)].append(path)
      name = photo_key(path.stem, suffix)
      if name is not None:
        self.marked[_key(place, name)].append(path)

  def of(self, place: pathlib.Path) -> pathlib.Path | None:
    """Return the mask of a composite, by its path inside its folder.

    Raises:
      UserError: where there are several.
    """
    if self._single:
      return self._single
    for found in self._found(place):
      # Prefer a name that has the composite's case and accents, too.
      alike = [path for path in found if path.stem.startswith(place.stem)]
      found = alike or found
      if len(found) > 1:
        raise UserError(f"{found[0]} and {found[1]} are both for it; keep one")
      self._used[found[0]] += 1
      return found[0]
    return None

  def _found(self, place: pathlib.Path) -> Iterator[list[pathlib.Path]]:
    """Yield masks that may be meant, the likeliest first."""
    names = place.stem, place.name, without_number(place.stem)
    for name in filter(None, names):
      for index in (self._plain, self.marked):
        if found := index.get(_key(place, name)):
          yield found
    for inner in (place, *place.parents):  # mask.png beside it, or above
      if found := self.marked.get(_key(inner, "")):
        yield found

  def unused(self) -> list[pathlib.Path]:
    return [path for path in self._files if path not in self._used]

  def shared(self) -> list[pathlib.Path]:
    return [path for path in self._files if self._used[path] > 1]


def split_masks(
  root: pathlib.Path, images: list[pathlib.Path], suffix: str | None
) -> tuple[list[pathlib.Path], Masks]:
  """Split the images of one folder into composites and their masks."""
  masks = {path for path in images if photo_key(path.stem, suffix) is not None}
  if suffix is None:
    marked = Masks(root, [path for path in images if path in masks]).marked
    places = {path: path.relative_to(root) for path in images}
    names = {_key(place, path.name) for path, place in places.items()}
    beside: dict[Key, list[pathlib.Path]] = collections.defaultdict(list)
    for path, place in places.items():
      key = _key(place, path.stem)
      if key in names:  # a.jpg.png beside a.jpg
        masks.add(path)
      elif path not in masks and key not in marked:
        beside[key].append(path)
    for paths in beside.values():
      lossless = [path for path in paths if format_of(path) in _LOSSLESS]
      if len(paths) == 2 and len(lossless) == 1:  # a.png beside a.jpg
        masks.update(lossless)
  files = [path for path in images if path not in masks]
  return files, Masks(root, sorted(masks), suffix)


def _key(place: pathlib.Path, name: str) -> Key:
  return name_key(place.parent.as_posix()), name_key(name)
