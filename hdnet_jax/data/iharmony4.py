"""iHarmony4 (Cong et al. 2020) as it is published: a tree of JPEG and PNG.

  root/IHD_train.txt, root/IHD_test.txt       lists over all four subsets
  root/HCOCO/HCOCO_train.txt, ...             the same for each of them
  root/HCOCO/composite_images/c10_2_1.jpg     the foreground does not fit
  root/HCOCO/masks/c10_2.png                  photo and object
  root/HCOCO/real_images/c10.jpg              the photo

A list's line is a composite's path, with or without the `composite_images`
folder in it; in a subset's own list the subset may be missing, too.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from hdnet_jax.data.examples import Example, read_image, read_mask
from hdnet_jax.errors import UserError

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")
SPLITS = ("train", "test")
LAYOUT = "SUBSET/composite_images/PHOTO_OBJECT_VERSION.jpg"


@dataclasses.dataclass(frozen=True, order=True)
class Triplet:
  """The files of an example, as paths inside the data set's folder."""

  subset: str
  composite: str
  mask: str
  real: str

  @property
  def name(self) -> str:
    return pathlib.PurePosixPath(self.composite).stem


class BadLine(UserError):
  """A line of a list that names no composite."""


class Iharmony4Folder:
  """One split (train or test) of the data set, resized as it is read."""

  def __init__(
    self,
    root: str | pathlib.Path,
    split: str,
    image_size: int,
    subsets: Sequence[str] = (),
  ):
    self._root = pathlib.Path(root)
    self._size = image_size
    lists = find_lists(self._root, split)
    if not lists:
      raise UserError(
        f"iHarmony4 is not at {self._root.absolute()}: IHD_{split}.txt is "
        f"missing. Download the data set, unpack {', '.join(SUBSETS)} and the "
        "IHD_ lists into one folder and set --config.data.root to it; or train "
        "now, without data of your own: python train.py "
        "--config=configs/quickstart.py"
      )
    wanted = check_subsets(subsets)
    self._triplets = [
      triplet
      for path in lists
      for triplet in _read_whole_list(path)
      if triplet.subset in wanted
    ]
    # Subset by subset, as the prepared data set has them: the same runs.
    self._triplets.sort(key=lambda triplet: SUBSETS.index(triplet.subset))
    if not self._triplets:
      names = " and ".join(str(path) for path in lists)
      raise UserError(
        f"{names} lists no image of {', '.join(wanted)}; download it again"
      )

  def __len__(self) -> int:
    return len(self._triplets)

  def __getitem__(self, index: int) -> Example:
    triplet = self._triplets[index]
    return {
      "composite": read_image(self._root / triplet.composite, self._size),
      "real": read_image(self._root / triplet.real, self._size),
      "mask": read_mask(self._root / triplet.mask, self._size),
      "index": np.int32(index),
    }

  def name(self, index: int) -> str:
    return self._triplets[index].name

  def subset(self, index: int) -> str:
    return self._triplets[index].subset


def check_subsets(subsets: Sequence[str]) -> tuple[str, ...]:
  """The subsets of that name, in the data set's order; all for none."""
  unknown = set(subsets) - set(SUBSETS)
  if unknown:
    raise UserError(
      f"iHarmony4 has no subset {', '.join(sorted(unknown))}; it has "
      + ", ".join(SUBSETS)
    )
  return tuple(name for name in SUBSETS if not subsets or name in subsets)


def find_lists(root: pathlib.Path, split: str) -> list[pathlib.Path]:
  """The IHD list of a split, or those of its subsets where there is none."""
  whole = root / f"IHD_{split}.txt"
  return [whole] if whole.is_file() else find_own_lists(root, split, SUBSETS)


def find_own_lists(
  root: pathlib.Path, split: str, subsets: Sequence[str]
) -> list[pathlib.Path]:
  own = [root / subset / f"{subset}_{split}.txt" for subset in subsets]
  return [path for path in own if path.is_file()]


def list_subset(path: pathlib.Path) -> str:
  """The subset whose own list `path` is; "" for the IHD lists."""
  subset = path.stem.rsplit("_", 1)[0]
  return subset if subset in SUBSETS else ""


def read_list(path: pathlib.Path) -> tuple[list[Triplet], dict[int, str]]:
  """What a list names, in its order; lines that name nothing, by number.

  Blank lines and a byte order mark count for nothing.
  """
  triplets: list[Triplet] = []
  bad: dict[int, str] = {}
  # What is not UTF-8 is no name of the data set's; it is reported as missing.
  text = path.read_text(encoding="utf-8-sig", errors="replace")
  for number, line in enumerate(text.splitlines(), 1):
    try:
      if line.strip():
        triplets.append(parse_line(line, list_subset(path)))
    except BadLine:
      bad[number] = line.strip()
  return triplets, bad


def _read_whole_list(path: pathlib.Path) -> list[Triplet]:
  triplets, bad = read_list(path)
  for number, line in bad.items():
    raise BadLine(
      f"{path}, line {number}: {line!r} is not {LAYOUT}; remove it, or "
      "download the list again"
    )
  return triplets


def parse_line(line: str, subset: str = "") -> Triplet:
  """The files that a list's line stands for.

  `<photo>_<object>_<version>.jpg`: the photo's own name may hold underscores.

  Args:
    subset: of a subset's own list, whose lines may leave it out.

  Raises:
    BadLine: where the line names no composite.
  """
  path = pathlib.PurePosixPath(line.strip().replace("\\", "/"))
  parts = path.stem.rsplit("_", 2)
  if len(path.parts) > 1 and path.parts[0] != "composite_images":
    subset = path.parts[0]
  if len(parts) != 3 or not all(parts) or not subset:
    raise BadLine(f"{line.strip()!r} in an iHarmony4 list is not {LAYOUT}")
  photo, number, _ = parts
  return Triplet(
    subset=subset,
    composite=f"{subset}/composite_images/{path.name}",
    mask=f"{subset}/masks/{photo}_{number}.png",
    real=f"{subset}/real_images/{photo}{path.suffix}",
  )
