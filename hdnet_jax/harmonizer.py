"""The public inference API: images, arrays or files in, harmonized ones out."""

import contextlib
import os
import pathlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.data.records import gray
from hdnet_jax.errors import UserError
from hdnet_jax.inference.harmonizer import (
  BATCH,
  Mode,
  SizedNetwork,
  as_mask,
  check_options,
  chunks,
  to_bytes,
)

Picture = Image.Image | np.ndarray | str | os.PathLike
# Of a harmonized array, what the caller gets.
Restore = Callable[[np.ndarray], Any]

_ALMOST_ALL = 0.95  # of the image; a mask of more is reported
_LUMA = (0.299, 0.587, 0.114)  # of gray, as Pillow makes it
_ONE = 16  # levels of 255 that one colour varies by
_IMAGE_SIZE = 256  # that networks are trained at where nothing tells


class MaskWarning(UserWarning):
  """A mask that covers nothing, or almost everything."""


class Harmonizer:
  """Recolours the pasted part of images so that it fits the rest.

    harmonizer = hdnet_jax.Harmonizer.from_pretrained("runs/quickstart")
    result = harmonizer(composite, mask)

  One is made once and used for many images, from several threads if need be.
  The network is compiled at the first call, for all sizes (mode "guided").

  Args:
    params: the network's parameters, as `hdnet_jax.weights.load` gives them.
    model: the network that they are of.
    image_size: side of the square that it was trained on, a multiple of 8.
    mode: "guided": the network sees a small image, and its change is carried to
      the large one; fast, and in the memory of a few images. "direct": it sees
      the image at its own size, and is compiled for each (in steps of 8).

  Raises:
    ValueError: for another size or mode.
  """

  def __init__(
    self,
    params: Mapping[str, Any],
    model: ModelConfig,
    image_size: int = _IMAGE_SIZE,
    mode: Mode = "guided",
  ):
    self._network = SizedNetwork(params, model, image_size, mode)

  @classmethod
  def from_pretrained(
    cls,
    name: str | os.PathLike,
    mode: Mode = "guided",
    image_size: int | None = None,
  ) -> "Harmonizer":
    """A harmonizer with trained weights.

    Args:
      name: a released network, such as "hdnet-lite"; a .safetensors file; or a
        training's workdir, whose last checkpoint is taken.
      mode: as for the class.
      image_size: as for the class; by default the one of the training, where
        the file or workdir tells it, else 256.

    Raises:
      UserError: where there are no such weights, or they cannot be used.
    """
    params, model, trained_at = _find(name)
    return cls(params, model, image_size or trained_at, mode)

  @property
  def image_size(self) -> int:
    return self._network.image_size

  @property
  def mode(self) -> Mode:
    return self._network.mode

  def __call__(
    self,
    composite: Picture,
    mask: Picture,
    *,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
  ) -> Image.Image | np.ndarray:
    """The composite, harmonized, in the kind that it has.

    An array becomes one of its shape and type. A PIL image becomes one of its
    mode: RGB, RGBA, L, LA and I;16 (a gray one stays gray); others, which do
    not hold every colour exactly, become RGB or RGBA. Alpha is kept. A path
    gives a PIL image of these modes, upright; of a colour file of 16 bits it
    holds 8, as Pillow does: give an array to keep them.

    Where the mask is 0 the result is a copy, bit by bit; between 0 and 1 it is
    mixed of both.

    Args:
      composite: a PIL image; an array [H, W, 3], RGB, that is uint8, uint16, or
        float32 or float64 in 0 to 1; or a path.
      mask: white, 1, is the foreground, which is what changes; over 0.5 it is
        what the network takes for it. A PIL image, of which the gray counts; an
        array [H, W] or [H, W, 1], that is bool, uint8 (of which 255 is white if
        any of it is above 1, else 1), or float in 0 to 1; or a path. It need
        not be of the composite's kind.
      strength: 0 to 1, the share of the change that is made; 0 makes a copy.
      feather: pixels over which the change rises from the mask's edge inwards.
      background: whether the background changes, to fit the foreground; then
        it is a copy where the mask is 1.

    Warns:
      MaskWarning: for a mask that covers more than 95 % of the image, or
        nothing; of the latter the result is a copy.

    Raises:
      ValueError: for other shapes, types and values.
      UserError: where a file cannot be read.
    """
    return self._many([(composite, mask)], strength, feather, background)[0]

  def batch(
    self,
    pairs: Iterable[tuple[Picture, Picture]],
    *,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
  ) -> list[Image.Image | np.ndarray]:
    """What a call makes of each pair (composite, mask); options as there.

    In mode "guided" the network sees 8 images at once, and the rest of the work
    is done in threads. Sizes and kinds may differ. Pairs are taken, and files
    read, 8 at a time. Results may differ from those of calls by the rounding of
    floats.
    """
    results = []
    for chunk in chunks(pairs, BATCH):
      results += self._many(chunk, strength, feather, background)
    return results

  def _many(
    self,
    pairs: list[tuple[Picture, Picture]],
    strength: float,
    feather: float,
    background: bool,
  ) -> list[Image.Image | np.ndarray]:
    check_options(strength, feather)  # before files are read
    inputs, restores = [], []
    for composite, mask in pairs:
      pixels, restore = _open(composite)
      mask = _open_mask(mask, pixels.shape[:2])
      some = _report(mask)
      if background and some:
        mask = ~mask if mask.dtype == bool else 1 - mask
      inputs.append((pixels, mask))
      restores.append(restore)
    results = self._network.many(inputs, strength, feather)
    return [
      restore(result) for restore, result in zip(restores, results, strict=True)
    ]


def _report(mask: np.ndarray) -> bool:
  """Whether a mask covers anything; warns where it does not, or almost all."""
  share = np.count_nonzero(mask > 0.5) / mask.size
  if not share:
    message = "the mask covers nothing, so the image is returned as it is"
  elif share > _ALMOST_ALL:
    message = (
      f"the mask covers {share:.1%} of the image, which leaves little to fit "
      "to; white is the foreground"
    )
  else:
    return True
  # To the line that calls the public method.
  warnings.warn(message, MaskWarning, stacklevel=4)
  return bool(share)


def _open(composite: Picture) -> tuple[np.ndarray, Restore]:
  """The pixels [H, W, 3] of a composite, and the way back to its kind."""
  if isinstance(composite, np.ndarray):
    return composite, lambda result: result
  if isinstance(composite, Image.Image):
    return _open_image(composite)
  return _open_file(_path("composite", composite))


def _open_image(image: Image.Image) -> tuple[np.ndarray, Restore]:
  if image.mode in ("I", "F"):
    raise ValueError(
      f"composite of mode {image.mode} has no known white; convert it to RGB, "
      "or give a float array in 0 to 1"
    )
  info = dict(image.info)
  deep = image.mode.startswith("I;16")
  if not deep and image.mode not in ("RGB", "RGBA", "L", "LA"):
    info = {}  # such as a profile of other colours
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
  samples = np.asarray(image)
  is_gray = deep or image.mode in ("L", "LA")
  alpha = samples[..., -1] if image.mode.endswith("A") else None
  if not is_gray:
    colours = np.ascontiguousarray(samples[..., :3])
  else:
    levels = samples if samples.ndim == 2 else samples[..., 0]
    # Pillow's I;16B is of the other order of bytes.
    levels = levels.astype(np.uint16 if deep else np.uint8)
    colours = np.repeat(levels[..., None], 3, axis=-1)
  return colours, lambda result: _as_image(result, is_gray, alpha, info)


def _open_file(path: pathlib.Path) -> tuple[np.ndarray, Restore]:
  # Only here: arrays need no readers.
  from hdnet_jax.inference.files import read_picture

  picture = read_picture(path)
  info = {
    "icc_profile": None if picture.kind == "CMYK" else picture.icc,
    "exif": picture.exif,
    "dpi": picture.dpi,
  }
  info = {name: value for name, value in info.items() if value is not None}
  is_gray = picture.kind == "gray"
  return (
    picture.pixels,
    lambda result: _as_image(result, is_gray, picture.alpha, info),
  )


def _as_image(
  pixels: np.ndarray, is_gray: bool, alpha: np.ndarray | None, info: dict
) -> Image.Image:
  """[H, W, 3] as L, LA, I;16, RGB or RGBA; the latter two have 8 bits."""
  samples = _gray(pixels) if is_gray else pixels
  if alpha is not None:
    samples = np.dstack([to_bytes(samples), to_bytes(alpha)])
  elif not is_gray:
    samples = to_bytes(samples)
  image = Image.fromarray(samples)
  image.info = info
  return image


def _gray(colours: np.ndarray) -> np.ndarray:
  """[H, W]; of three equal values it is that value."""
  return np.rint(colours @ np.array(_LUMA)).astype(colours.dtype)


def _open_mask(mask: Picture, size: tuple[int, int]) -> np.ndarray:
  """A mask of any kind, as `as_mask` makes it; `size` is height and width."""
  if isinstance(mask, Image.Image):
    mask = _mask_array(mask)
  elif not isinstance(mask, np.ndarray):
    from hdnet_jax.inference.masks import read_mask

    mask = read_mask(_path("mask", mask), size[::-1])
  return as_mask(mask, size)


def _mask_array(mask: Image.Image) -> np.ndarray:
  if mask.mode in ("1", "F"):
    return np.asarray(mask)
  if mask.mode.startswith("I;16"):
    return np.asarray(mask) / np.float32(65535)
  if mask.has_transparency_data:
    samples = np.asarray(mask.convert("RGBA"))
    alpha = samples[..., 3]
    shown = samples[alpha > 0]
    # A silhouette of any one colour: as in files, its alpha is the mask.
    if alpha.min() < alpha.max() and np.ptp(shown[:, :3], 0).max() <= _ONE:
      return alpha
  return np.asarray(gray(mask))


def _path(name: str, value: Any) -> pathlib.Path:
  if isinstance(value, str | os.PathLike):
    return pathlib.Path(value)
  raise ValueError(
    f"{name} is a PIL image, a NumPy array or a path, not "
    f"{type(value).__name__}"
  )


def _find(name: str | os.PathLike) -> tuple[Mapping, ModelConfig, int]:
  """Parameters, their network, and the image size that it was trained at."""
  released = _released()
  path = pathlib.Path(name)
  with contextlib.ExitStack() as stack:
    if str(name) in released:
      file = released[str(name)]
      path = stack.enter_context(resources.as_file(file))
    elif path.is_dir():
      return _restore(path)
    elif not path.is_file() and path.suffix != weights.SUFFIX:
      raise UserError(_say_missing(name, released))
    params, model, provenance = weights.load(path)
  size = provenance.get("image_size", str(_IMAGE_SIZE))
  if not str(size).isdecimal():
    raise UserError(
      f"{path} tells of image_size={size!r}, which is no size; export it again"
    )
  return params, model, int(size)


def _restore(workdir: pathlib.Path) -> tuple[Mapping, ModelConfig, int]:
  # Only here, for it loads the libraries of the training.
  from hdnet_jax.training.restore import restore_params

  params, config, _ = restore_params(workdir, "last")
  return params, config.model, config.data.image_size


def _released() -> dict[str, Any]:
  """The weights files that the package brings along, by name."""
  folder = resources.files("hdnet_jax") / "pretrained"
  if not folder.is_dir():
    return {}
  return {
    file.name.removesuffix(weights.SUFFIX): file
    for file in folder.iterdir()
    if file.name.endswith(weights.SUFFIX)
  }


def _say_missing(name: str | os.PathLike, released: Iterable[str]) -> str:
  names = ", ".join(sorted(released))
  known = f"released are {names}" if names else "none are released yet"
  return (
    f"there are no weights {str(name)!r}: it is no file or workdir, and {known}"
    "; train some with python train.py --config=configs/quickstart.py "
    "--workdir=DIR and give DIR, or the file that hdnet export-weights DIR "
    f"NAME{weights.SUFFIX} makes of it"
  )
