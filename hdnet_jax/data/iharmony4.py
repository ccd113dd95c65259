"""iHarmony4 (Cong et al. 2020), as it is published and as it is prepared.

Published, it is a tree of JPEG and PNG files:

  root/IHD_train.txt, root/IHD_test.txt       lists over all four subsets
  root/HCOCO/HCOCO_train.txt, ...             the same for each of them
  root/HCOCO/composite_images/c10_2_1.jpg     photo c10, object 2, version 1
  root/HCOCO/masks/c10_2.png                  the mask of object 2
  root/HCOCO/real_images/c10.jpg              the photo

A list's line is a composite's path, with or without the `composite_images`
folder; in a subset's own list the subset may be missing, too.

`hdnet prepare iharmony4` makes a TFDS data set of it, with the same examples in
the same order.
"""

import dataclasses
import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import write_text
from hdnet_jax.data.examples import Example, mask_pixels, read_image, read_mask
from hdnet_jax.errors import UserError
from hdnet_jax.images.transforms import resize_image, resize_mask

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")
SPLITS = ("train", "test")
PARTS = ("composite", "mask", "real")
LAYOUT = "SUBSET/composite_images/PHOTO_OBJECT_VERSION.jpg"
NAME, VERSION = "iharmony4", "1.0.0"  # of the prepared data set


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


class Iharmony4Folder:
  """One split (train or test) of the published data set, resized as read.

  `triplets` has the files of each example.
  """

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
        "now, without data of your own: hdnet train "
        "--config=quickstart"
      )
    subsets = check_subsets(subsets)
    self.triplets = [
      triplet
      for path in lists
      for triplet in _read_whole_list(path)
      if triplet.subset in subsets
    ]
    # Subset by subset, as the prepared data set has them.
    self.triplets.sort(key=lambda triplet: SUBSETS.index(triplet.subset))
    if not self.triplets:
      names = " and ".join(str(path) for path in lists)
      raise UserError(
        f"{names} lists no image of {', '.join(subsets)}; download it again"
      )

  def __len__(self) -> int:
    return len(self.triplets)

  def __getitem__(self, index: int) -> Example:
    triplet = self.triplets[index]
    return {
      "composite": read_image(self._root / triplet.composite, self._size),
      "real": read_image(self._root / triplet.real, self._size),
      "mask": read_mask(self._root / triplet.mask, self._size),
      "index": np.array(index, np.int32),
    }

  def name(self, index: int) -> str:
    return self.triplets[index].name

  def subset(self, index: int) -> str:
    return self.triplets[index].subset


class PreparedIharmony4:
  """One split (train or test) of the prepared data set, in the lists' order.

  Images of another size than `image_size` are resized as they are read.
  """

  def __init__(
    self,
    root: str | pathlib.Path,
    split: str,
    image_size: int,
    subsets: Sequence[str] = (),
  ):
    import tensorflow_datasets as tfds  # takes a second to load

    self._size = image_size
    folder = find_prepared(pathlib.Path(root), image_size, subsets)
    builder = tfds.builder_from_directory(folder)
    names = split_names(folder, set(builder.info.splits), split, subsets)
    self._records = builder.as_data_source(
      split="+".join(names),
      # Pillow decodes them, as everywhere.
      decoders={name: tfds.decode.SkipDecoding() for name in PARTS},
    )
    self._subsets = [name.split("_")[0] for name in names]
    counts = [builder.info.splits[name].num_examples for name in names]
    self._ends = np.cumsum(counts)
    self._names = _read_names(folder, names, len(self._records))

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Example:
    record = self._records[index]
    composite, mask, real = (Image.open(io.BytesIO(record[p])) for p in PARTS)
    return {
      "composite": np.asarray(resize_image(composite, self._size)),
      "real": np.asarray(resize_image(real, self._size)),
      "mask": mask_pixels(resize_mask(mask.convert("L"), self._size)),
      "index": np.array(index, np.int32),
    }

  def name(self, index: int) -> str:
    if self._names is None:
      return self._records[index]["name"].decode()
    return self._names[index]

  def subset(self, index: int) -> str:
    return self._subsets[int(np.searchsorted(self._ends, index, side="right"))]


def check_subsets(subsets: Sequence[str]) -> tuple[str, ...]:
  """Return the subsets in the data set's order; all if none is given."""
  unknown = set(subsets) - set(SUBSETS)
  if unknown:
    raise UserError(
      f"iHarmony4 has no subset {', '.join(sorted(unknown))}; it has "
      + ", ".join(SUBSETS)
    )
  return tuple(name for name in SUBSETS if not subsets or name in subsets)


def find_lists(root: pathlib.Path, split: str) -> list[pathlib.Path]:
  """Find the IHD list of a split, or else the lists of its subsets."""
  whole = root / f"IHD_{split}.txt"
  return [whole] if whole.is_file() else find_own_lists(root, split, SUBSETS)


def find_own_lists(
  root: pathlib.Path, split: str, subsets: Sequence[str]
) -> list[pathlib.Path]:
  own = [root / subset / f"{subset}_{split}.txt" for subset in subsets]
  return [path for path in own if path.is_file()]


def list_subset(path: pathlib.Path) -> str:
  """Return the subset whose own list `path` is; "" for the IHD lists."""
  subset = path.stem.rsplit("_", 1)[0]
  return subset if subset in SUBSETS else ""


def read_list(path: pathlib.Path) -> tuple[list[Triplet], dict[int, str]]:
  """Read what a list names, in its order, and its bad lines by number.

  Blank lines and a byte order mark are skipped.
  """
  triplets: list[Triplet] = []
  bad: dict[int, str] = {}
  # Names that are not UTF-8 are reported as missing files.
  text = path.read_text(encoding="utf-8-sig", errors="replace")
  for number, line in enumerate(text.splitlines(), 1):
    try:
      if line.strip():
        triplets.append(parse_line(line, list_subset(path)))
    except UserError:
      bad[number] = line.strip()
  return triplets, bad


def _read_whole_list(path: pathlib.Path) -> list[Triplet]:
  triplets, bad = read_list(path)
  for number, line in bad.items():
    raise UserError(
      f"{path}, line {number}: {line!r} is not {LAYOUT}; remove it, or "
      "download the list again"
    )
  return triplets


def parse_line(line: str, subset: str = "") -> Triplet:
  """Return the files that a list's line stands for.

  Args:
    line: ends in PHOTO_OBJECT_VERSION.jpg; PHOTO may hold underscores.
    subset: for a line without one, as in a subset's own list.

  Raises:
    UserError: if the line names no composite.
  """
  path = pathlib.PurePosixPath(line.strip().replace("\\", "/"))
  parts = path.stem.rsplit("_", 2)
  if len(path.parts) > 1 and path.parts[0] != "composite_images":
    subset = path.parts[0]
  if len(parts) != 3 or not all(parts) or not subset:
    raise UserError(f"{line.strip()!r} in an iHarmony4 list is not {LAYOUT}")
  photo, number, _ = parts
  return Triplet(
    subset=subset,
    composite=f"{subset}/composite_images/{path.name}",
    mask=f"{subset}/masks/{photo}_{number}.png",
    real=f"{subset}/real_images/{photo}{path.suffix}",
  )


def write_names(folder: pathlib.Path, split: str, names: list[str]) -> None:
  """Write the names of a prepared split, so that no record is read for them."""
  write_text(folder / f"{split}_names.json", json.dumps(names))


def _read_names(
  folder: pathlib.Path, splits: Sequence[str], count: int
) -> list[str] | None:
  """Read the names of splits; None for older data sets, which have no files."""
  paths = [folder / f"{split}_names.json" for split in splits]
  if not all(path.is_file() for path in paths):
    return None
  names: list[str] = []
  for path in paths:
    names += json.loads(path.read_text(encoding="utf-8"))
  if len(names) != count:
    raise UserError(
      f"{folder} has {count} examples and {len(names)} names; remove it and "
      "prepare it again"
    )
  return names


def find_prepared(
  root: pathlib.Path, image_size: int, subsets: Sequence[str] = ()
) -> pathlib.Path:
  """Find the folder of the data set prepared at a size, or at native sizes.

  Raises:
    UserError: if there is none, with the command that makes it.
  """
  for size in (str(image_size), "native"):
    folder = root / NAME / size / VERSION
    if folder.is_dir():
      return folder
  size = image_size if image_size in (256, 1024, 2048) else "native"
  subset = f" --subset {' '.join(subsets)}" if subsets else ""
  command = f"hdnet prepare iharmony4 --root DIR --image-size {size}{subset}"
  if find_lists(root, "train"):
    raise UserError(
      f"{root.absolute()} holds iHarmony4 as it is published, not prepared for "
      f"{image_size}x{image_size}: run {command.replace('DIR', str(root))}, or "
      "read it as it is with --config.data.source=folder"
    )
  raise UserError(
    f"iHarmony4 is not at {root.absolute()}: download it, unpack it into one "
    f"folder DIR, run {command}, and set --config.data.root=DIR; or train now, "
    "without data of your own: hdnet train --config=quickstart"
  )


def split_names(
  folder: pathlib.Path, prepared: set[str], split: str, subsets: Sequence[str]
) -> list[str]:
  """Return `SUBSET_SPLIT` of the subsets; of all prepared if none is given."""
  wanted = [f"{subset}_{split}" for subset in check_subsets(subsets)]
  names = [name for name in wanted if name in prepared]
  missing = [name for name in wanted if subsets and name not in prepared]
  if missing or not names:
    raise UserError(
      f"{folder} has {', '.join(sorted(prepared))}, not "
      f"{', '.join(missing or wanted)}; remove it and prepare it again with "
      "these subsets"
    )
  return names
