"""Harmonized images of another method, beside their examples."""

import pathlib

from PIL import Image

from hdnet_jax.data.examples import Example, Source, read_image
from hdnet_jax.errors import UserError

_SHOWN = 3  # names in an error


class Predicted:
  """A source whose examples have a `prediction`, uint8 [H, W, 3], too.

  An image has its example's name, with any extension, and lies in `folder` or
  in the folder of its subset there. It is resized as photos are.

  Raises:
    UserError: if an example has no image, or several.
  """

  def __init__(self, source: Source, folder: pathlib.Path, image_size: int):
    self._source, self._size = source, image_size
    images = _images(folder)
    self._paths, missing = [], []
    for index in range(len(source)):
      name, subset = source.name(index), source.subset(index)
      # Names are unique within a subset only.
      paths = images.get((subset, name)) or images.get(("", name)) or []
      if len(paths) > 1:
        raise UserError(
          f"{paths[0]} and {paths[1].name} are both for {name}; keep one"
        )
      if not paths:
        missing.append(name)
      self._paths += paths
    if missing:
      names = ", ".join(missing[:_SHOWN])
      raise UserError(
        f"{folder} has no image for {len(missing)} of {len(source)} examples "
        f"({names}{', …' if len(missing) > _SHOWN else ''}); name each as its "
        "composite, with any extension"
      )

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> Example:
    prediction = read_image(self._paths[index], self._size)
    return {**self._source[index], "prediction": prediction}

  def name(self, index: int) -> str:
    return self._source.name(index)

  def subset(self, index: int) -> str:
    return self._source.subset(index)


def _images(folder: pathlib.Path) -> dict[tuple[str, str], list[pathlib.Path]]:
  """List image files by subset ("" for the folder itself) and stem."""
  if not folder.is_dir():
    raise UserError(f"--predictions {folder} is not a folder")
  suffixes = Image.registered_extensions()
  images: dict[tuple[str, str], list[pathlib.Path]] = {}
  for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
    if path.suffix.lower() in suffixes:
      subset = "" if path.parent == folder else path.parent.name
      images.setdefault((subset, path.stem), []).append(path)
  return images
