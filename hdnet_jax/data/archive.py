"""A photo folder in one compact zip file.

Photos are stored as square WebP images, masks as square 1-bit PNG. File stems
are those of the folder, so that photos stay in their splits.
"""

import csv
import functools
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Mapping

from PIL import Image

from hdnet_jax.atomic_write import CsvFile, write_then_rename
from hdnet_jax.data import examples
from hdnet_jax.errors import UserError
from hdnet_jax.images import transforms

SUFFIX = ".zip"
QUALITY = 75  # of WebP


def is_archive(root: str | os.PathLike) -> bool:
  return pathlib.Path(root).suffix.lower() == SUFFIX


def read_member(root: pathlib.Path, name: str) -> bytes:
  """Read a file of a zip file.

  Raises:
    UserError: if the zip file cannot be read, or has no such file.
  """
  try:
    return _opened(str(root), os.getpid()).read(name)
  except (OSError, KeyError, zipfile.BadZipFile) as error:
    words = " ".join(str(error).split())
    raise UserError(
      f"{name} cannot be read from {root} ({words}); make the file again: "
      "hdnet prepare photos --root DIR --pack FILE"
    ) from None


@functools.lru_cache(maxsize=8)
def _opened(path: str, process: int) -> zipfile.ZipFile:
  """Open a zip file once in each process: forks share a file's position."""
  del process
  return zipfile.ZipFile(path)


def pack(
  root: pathlib.Path,
  rows: Iterable[Mapping[str, str]],
  output: pathlib.Path,
  size: int,
  on_done: Callable[[int], None] = lambda count: None,
) -> None:
  """Write photos and masks of a folder as one zip file.

  Args:
    rows: of the folder's manifest.
    size: of the squares, in pixels.
    on_done: called with 1 after each row.

  Raises:
    UserError: for a file that cannot be read, or two photos of one stem.
  """

  def write(temporary: pathlib.Path) -> None:
    # What is inside is compressed already.
    with zipfile.ZipFile(temporary, "w") as archive:
      _fill(archive, root, rows, size, on_done)

  write_then_rename(output, write)


def _fill(
  archive: zipfile.ZipFile,
  root: pathlib.Path,
  rows: Iterable[Mapping[str, str]],
  size: int,
  on_done: Callable[[int], None],
) -> None:
  packed: dict[str, str] = {}  # names in the zip file to those of the folder
  text = io.StringIO(newline="")
  writer = csv.writer(CsvFile(text))
  writer.writerow(("image", "mask", "source"))
  for row in rows:
    image = f"images/{pathlib.Path(row['image']).stem}.webp"
    mask = f"masks/{pathlib.Path(row['mask']).stem}.png"
    for name, path, small in (
      (image, row["image"], _small_photo),
      (mask, row["mask"], _small_mask),
    ):
      if packed.setdefault(name, path) != path:
        raise UserError(
          f"{root / path} and {root / packed[name]} have one name but for the "
          "extension; rename one of them"
        )
      if name not in archive.NameToInfo:
        archive.writestr(name, small(examples.open_image(root / path), size))
    writer.writerow((image, mask, row.get("source") or ""))
    on_done(1)
  archive.writestr("manifest.csv", text.getvalue())


def _small_photo(photo: Image.Image, size: int) -> bytes:
  data = io.BytesIO()
  transforms.resize_image(photo, size).save(data, "WEBP", quality=QUALITY)
  return data.getvalue()


def _small_mask(mask: Image.Image, size: int) -> bytes:
  data = io.BytesIO()
  square = examples.gray(mask).resize((size, size), Image.Resampling.BILINEAR)
  square.point([0] * 128 + [255] * 128).convert("1").save(data, "PNG")
  return data.getvalue()
