"""Photos with object masks, of which the device makes composites."""

import csv
import functools
import hashlib
import io
import os
import pathlib
import re
import unicodedata
from typing import ClassVar

import numpy as np
from PIL import Image

from hdnet_jax.atomic_write import open_text
from hdnet_jax.data.archive import is_archive, read_member
from hdnet_jax.data.examples import Example, gray, mask_pixels, open_image
from hdnet_jax.errors import UserError
from hdnet_jax.images.transforms import resize_image, resize_mask

# Shares of the photos, per thousand. A photo's split depends on its name alone,
# so it stays the same when photos are added.
_TEST, _VALIDATION = 50, 25
_TIME_STAMP = re.compile(r"-\d{8}-\d{6}$")


class PhotoFolder:
  """One split of a photo folder, or of its zip file (see `data.archive`).

  The folder has `images/`, `masks/` and `manifest.csv`. Each row is an example:
  its columns `image` and `mask` are paths inside the folder, and `source`, if
  there, names the subset.
  """

  def __init__(self, root: str | pathlib.Path, split: str, image_size: int):
    self._root = pathlib.Path(root)
    self._size = image_size
    self._rows = [
      row
      for row in read_manifest(self._root)
      if split_of(row["image"]) == split
    ]
    if not self._rows:
      raise UserError(
        f"{self._root} has no photo in the split {split!r} of train, "
        "validation and test; add photos (about 40 are needed to fill all)"
      )

  def __len__(self) -> int:
    return len(self._rows)

  def __getitem__(self, index: int) -> Example:
    row = self._rows[index]
    photo = self._open(row["image"])
    mask = gray(self._open(row["mask"]))
    if mask.size != photo.size:
      (w, h), (x, y) = photo.size, mask.size
      raise UserError(
        f"{self._root / row['mask']} is {x}x{y}, and its photo, upright, "
        f"{w}x{h}: hdnet prepare photos --root {self._root} lists all such"
      )
    return {
      "real": np.asarray(resize_image(photo, self._size)),
      "mask": mask_pixels(resize_mask(mask, self._size)),
      "index": np.array(index, np.int32),
    }

  def _open(self, name: str) -> Image.Image:
    path = self._root / name
    if not is_archive(self._root):
      return open_image(path)
    return open_image(path, source=read_member(self._root, name))

  def name(self, index: int) -> str:
    return pathlib.Path(self._rows[index]["mask"]).stem

  def subset(self, index: int) -> str:
    return self._rows[index].get("source") or "photos"


def read_manifest(root: pathlib.Path) -> list[dict[str, str]]:
  """Read the rows of `root/manifest.csv`."""
  path = root / "manifest.csv"
  if not (root if is_archive(root) else path).is_file():
    raise UserError(
      f"{path} does not exist; set --config.data.root to a folder with "
      "images/, masks/ and manifest.csv (columns: image, mask), or to a zip "
      "file of one"
    )
  with (
    io.TextIOWrapper(io.BytesIO(read_member(root, path.name)), newline="")
    if is_archive(root)
    else open_text(path)
  ) as file:
    # Spreadsheets begin their files with a byte order mark.
    text = file.read().removeprefix("\ufeff")
  reader = csv.DictReader(io.StringIO(text, newline=""))
  if missing := {"image", "mask"} - set(reader.fieldnames or ()):
    raise UserError(
      f"{path} has no column {' and '.join(sorted(missing))} in its first line"
    )
  rows = []
  for row in reader:
    if not (row["image"] and row["mask"]):
      raise UserError(
        f"{path}, line {reader.line_num}: give both an image and a mask, or "
        "remove the line"
      )
    rows.append(row)
  return rows


def split_of(image: str) -> str:
  """Return train, validation or test, by a hash of the photo's name.

  Photos of a fixed camera, which differ in a time stamp, are in one split.
  """
  scene = _TIME_STAMP.sub("", pathlib.Path(image).stem)
  # Accents are composed on some systems and not on others.
  scene = unicodedata.normalize("NFC", scene)
  digest = hashlib.sha256(os.fsencode(scene)).digest()
  place = int.from_bytes(digest[:8], "big") % 1000
  if place < _TEST:
    return "test"
  return "validation" if place < _TEST + _VALIDATION else "train"


class EmbeddedPhotos:
  """The photos inside scikit-image's wheel, with masks computed from them.

  Examples are square crops at three scales; masks are segments of them, which
  follow edges as objects do. No scene is in two splits.
  """

  PHOTOS: ClassVar = {
    "train": ("coffee.png", "motorcycle_left.png"),
    "validation": ("astronaut.png",),
    "test": ("chelsea.png", "rocket.jpg"),
  }

  def __init__(self, split: str, image_size: int):
    if split not in self.PHOTOS:
      raise UserError(
        f"the embedded photos have no split {split!r}; use one of "
        + ", ".join(self.PHOTOS)
      )
    self._examples = [
      (f"{pathlib.Path(photo).stem}_{number:02d}", real, mask)
      for photo in self.PHOTOS[split]
      for number, (real, mask) in enumerate(_views(photo, image_size))
    ]

  def __len__(self) -> int:
    return len(self._examples)

  def __getitem__(self, index: int) -> Example:
    _, real, mask = self._examples[index]
    return {"real": real, "mask": mask, "index": np.array(index, np.int32)}

  def name(self, index: int) -> str:
    return self._examples[index][0]

  def subset(self, index: int) -> str:
    return self.name(index).rsplit("_", 1)[0]


@functools.cache
def _views(photo: str, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
  """Return every (view, mask) of a photo."""
  from skimage import data  # takes a second to load

  with Image.open(pathlib.Path(data.__file__).parent / photo) as file:
    image = file.convert("RGB")
  pairs = []
  for box in squares(*image.size):
    square = image.resize((size, size), Image.Resampling.BILINEAR, box)
    view = np.asarray(square)
    pairs += [(view, mask) for mask in segment_masks(view)]
  return pairs


def squares(width: int, height: int):
  """Yield left, top, right, bottom of overlapping squares at three scales."""
  for share in (1.0, 0.7, 0.5):
    side = round(share * min(width, height))
    for top in _offsets(height - side, side):
      for left in _offsets(width - side, side):
        yield left, top, left + side, top + side


def _offsets(room: int, side: int) -> list[int]:
  """Return offsets, 0 to `room`, of squares that overlap by half or more."""
  count = -(-2 * room // side) + 1
  return [round(i * room / max(count - 1, 1)) for i in range(count)]


def segment_masks(
  view: np.ndarray, smallest: float = 0.03, largest: float = 0.45
) -> list[np.ndarray]:
  """Compute object-like masks: superpixels, and segments of even colour.

  Args:
    view: uint8 [H, W, 3].
    smallest, largest: shares of the view's area.

  Returns:
    uint8 0/1 masks [H, W, 1], in a fixed order.
  """
  from scipy import ndimage
  from skimage.segmentation import felzenszwalb, slic

  area = view.shape[0] * view.shape[1]
  superpixels = slic(view, n_segments=8, compactness=10, sigma=1)
  segments = felzenszwalb(
    view, scale=300, sigma=1.0, min_size=int(smallest * area)
  )
  masks = []
  for labels in (superpixels, segments):
    for label in np.unique(labels):
      mask = np.asarray(ndimage.binary_fill_holes(labels == label))
      if smallest <= mask.mean() <= largest:
        mask = mask.astype(np.uint8)[..., None]
        mask.setflags(write=False)  # examples share it
        masks.append(mask)
  return masks
