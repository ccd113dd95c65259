"""iHarmony4 (Cong et al. 2020) as it is published: a tree of JPEG and PNG.

  root/IHD_train.txt, root/IHD_test.txt       lists over all four subsets
  root/HCOCO/composite_images/c10_2_1.jpg     the foreground does not fit
  root/HCOCO/masks/c10_2.png                  photo and object
  root/HCOCO/real_images/c10.jpg              the photo

A list's line is a composite's path, with or without the `composite_images`
folder in it.
"""

import pathlib

import numpy as np

from hdnet_jax.data.records import Example, read_image, read_mask
from hdnet_jax.errors import UserError

SUBSETS = ("HCOCO", "HAdobe5k", "HFlickr", "Hday2night")


class Iharmony4Folder:
  """One split (train or test) of the data set, resized as it is read."""

  def __init__(self, root: str | pathlib.Path, split: str, image_size: int):
    self._root = pathlib.Path(root)
    self._size = image_size
    path = self._root / f"IHD_{split}.txt"
    if not path.is_file():
      raise UserError(
        f"iHarmony4 is not at {self._root.absolute()}: {path.name} is missing."
        f" Download the data set, unpack {', '.join(SUBSETS)} and the IHD_"
        "lists into one folder and set --config.data.root to it; or train now,"
        " without data of your own: python train.py "
        "--config=configs/quickstart.py"
      )
    lines = path.read_text(encoding="utf-8").splitlines()
    self._files = [example_files(line) for line in lines if line.strip()]
    if not self._files:
      raise UserError(f"{path} lists no image; download it again")

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, index: int) -> Example:
    composite, mask, real = (self._root / name for name in self._files[index])
    return {
      "composite": read_image(composite, self._size),
      "real": read_image(real, self._size),
      "mask": read_mask(mask, self._size),
      "index": np.int32(index),
    }

  def name(self, index: int) -> str:
    return pathlib.Path(self._files[index][0]).stem

  def subset(self, index: int) -> str:
    return self._files[index][0].split("/")[0]


def example_files(line: str) -> tuple[str, str, str]:
  """Composite, mask and real path, inside the root, of a list's line.

  `<photo>_<object>_<version>.jpg`: the photo's own name may hold underscores.
  """
  path = pathlib.PurePosixPath(line.strip().replace("\\", "/"))
  parts = path.stem.rsplit("_", 2)
  if len(parts) != 3 or len(path.parts) < 2:
    raise UserError(
      f"{line.strip()!r} in an iHarmony4 list is not "
      "SUBSET/composite_images/PHOTO_OBJECT_VERSION.jpg"
    )
  subset, (photo, mask, _) = path.parts[0], parts
  return (
    f"{subset}/composite_images/{path.name}",
    f"{subset}/masks/{photo}_{mask}.png",
    f"{subset}/real_images/{photo}{path.suffix}",
  )
