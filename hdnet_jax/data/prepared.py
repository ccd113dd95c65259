"""iHarmony4 as `hdnet prepare iharmony4` leaves it, read by TFDS and Pillow."""

import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import write_text
from hdnet_jax.data import examples
from hdnet_jax.data.examples import Example
from hdnet_jax.data.iharmony4 import (
  SPLITS,
  check_subsets,
  find_lists,
  read_list,
)
from hdnet_jax.errors import UserError
from hdnet_jax.images import transforms

NAME, VERSION = "iharmony4", "1.0.0"
_PARTS = ("composite", "real", "mask")


class PreparedIharmony4:
  """One split (train or test) of the prepared data set, in the lists' order.

  Prepared at `image_size`, or else at the images' own sizes and then resized
  as it is read.
  """

  def __init__(
    self,
    root: str | pathlib.Path,
    split: str,
    image_size: int,
    subsets: Sequence[str] = (),
  ):
    # It takes a second to load, which those who read other data need not wait.
    import tensorflow_datasets as tfds

    self._size = image_size
    folder = find_prepared(pathlib.Path(root), image_size, subsets)
    builder = tfds.builder_from_directory(folder)
    names = _split_names(folder, set(builder.info.splits), split, subsets)
    self._records = builder.as_data_source(
      split="+".join(names),
      # Decoded here, by the same library everywhere.
      decoders={name: tfds.decode.SkipDecoding() for name in _PARTS},
    )
    ends = np.cumsum([builder.info.splits[name].num_examples for name in names])
    self._ends, self._subsets = ends, [name.split("_")[0] for name in names]
    self._names = _read_names(folder, names, len(self._records))

  def __len__(self) -> int:
    return len(self._records)

  def __getitem__(self, index: int) -> Example:
    record = self._records[index]
    mask = _decode(record["mask"]).convert("L")
    return {
      "composite": self._image(record["composite"]),
      "real": self._image(record["real"]),
      "mask": examples.mask_pixels(self._resized(mask, transforms.resize_mask)),
      "index": np.int32(index),
    }

  def name(self, index: int) -> str:
    if self._names is None:
      return self._records[index]["name"].decode()
    return self._names[index]

  def subset(self, index: int) -> str:
    return self._subsets[int(np.searchsorted(self._ends, index, side="right"))]

  def _image(self, data: bytes) -> np.ndarray:
    return np.asarray(self._resized(_decode(data), transforms.resize_image))

  def _resized(self, image: Image.Image, resize) -> Image.Image:
    size = (self._size, self._size)
    return image if image.size == size else resize(image, self._size)


def write_names(folder: pathlib.Path, split: str, names: list[str]) -> None:
  """Writes what `PreparedIharmony4.name` tells of the data set in `folder`.

  A record has its name too, among three images that are read with it.
  """
  write_text(folder / f"{split}_names.json", json.dumps(names))


def _read_names(
  folder: pathlib.Path, splits: Sequence[str], count: int
) -> list[str] | None:
  """The names of the splits' examples; None where an older set has none."""
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
  """The folder of the data set prepared at a size, or at native sizes.

  Raises:
    UserError: where there is none, with the command that makes it.
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
    "without data of your own: python train.py --config=configs/quickstart.py"
  )


def check_complete(
  folder: pathlib.Path, root: pathlib.Path, subsets: Sequence[str]
) -> None:
  """Raises UserError where the prepared set lacks what the lists name.

  Args:
    folder: of the prepared data set.
    root: of the published one.
    subsets: that are wanted.
  """
  import tensorflow_datasets as tfds

  there = set(tfds.builder_from_directory(folder).info.splits)
  for split in SPLITS:
    listed = {
      triplet.subset
      for path in find_lists(root, split)
      for triplet in read_list(path)[0]
    }
    wanted = [subset for subset in subsets if subset in listed]
    if wanted:
      _split_names(folder, there, split, wanted)


def _split_names(
  folder: pathlib.Path, there: set[str], split: str, subsets: Sequence[str]
) -> list[str]:
  """`SUBSET_SPLIT` of every subset that is wanted; all that exist for none."""
  wanted = [f"{subset}_{split}" for subset in check_subsets(subsets)]
  names = [name for name in wanted if name in there]
  missing = [name for name in wanted if name not in there] if subsets else []
  if missing or not names:
    raise UserError(
      f"{folder} has {', '.join(sorted(there))}, not "
      f"{', '.join(missing or wanted)}; remove it and prepare it again with "
      "these subsets"
    )
  return names


def _decode(data: bytes) -> Image.Image:
  image = Image.open(io.BytesIO(data))
  image.load()
  return image
