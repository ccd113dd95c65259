"""The inference API: a composite and its mask in, a harmonized image out."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from hdnet_jax.config import ModelConfig
from hdnet_jax.data.records import resize_image, resize_mask
from hdnet_jax.images import normalize, to_pixels
from hdnet_jax.inference import guided
from hdnet_jax.model.hdnet import REDUCTION, HDNet, blend

Mode = Literal["guided", "direct"]


class Harmonizer:
  """Harmonizes images of any size with one network.

  In mode "guided" the network sees the image at its training size, and its
  change of colours is carried to the image's own size: `guided`. It is compiled
  once. In mode "direct" the network sees the image at its own size, which takes
  more memory and time, and a compilation for every size.

  Args:
    params: the network's parameters, as `weights.load` gives them.
    model: the network that they are of.
    image_size: side of the square that it was trained on, a multiple of 8.
    mode: one of the two above.

  Raises:
    ValueError: for another size or mode.
  """

  def __init__(
    self,
    params: Mapping[str, Any],
    model: ModelConfig,
    image_size: int = 256,
    mode: Mode = "guided",
  ):
    if mode not in get_args(Mode):
      raise ValueError(f"mode={mode!r} is none of {get_args(Mode)}")
    if image_size < REDUCTION or image_size % REDUCTION:
      raise ValueError(
        f"image_size={image_size} is no multiple of {REDUCTION}; give the size "
        "that the network was trained at"
      )
    self.image_size, self.mode = image_size, mode
    # One image at a time has no use for more devices than one.
    device = jax.local_devices()[0]
    self._params = jax.device_put(jax.device_get(params), device)
    network = _make_network(model)

    def pixels(*inputs):
      return to_pixels(network(*inputs))

    self._network = jax.jit(network if mode == "guided" else pixels)

  def __call__(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The harmonized image, uint8 [H, W, 3]; outside the mask a copy.

    Args:
      composite: uint8 [H, W, 3], RGB.
      mask: uint8 or bool [H, W] or [H, W, 1], 1 = the object to harmonize.

    Raises:
      ValueError: for other shapes, types and values.
    """
    composite, mask = _checked(composite, mask)
    if not mask.any():
      return composite.copy()
    if self.mode == "direct":
      return self._direct(composite, mask)
    return self._guided(composite, mask)

  def _guided(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    small, small_mask = reduced(composite, mask, self.image_size)
    image = small / 255
    change = (self._run(small, small_mask) + 1) / 2 - image
    maps = guided.fit(image, change, small_mask)
    return guided.apply(maps, composite, mask)

  def _direct(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    after = [(0, -size % REDUCTION) for size in mask.shape]
    padded = np.pad(composite, [*after, (0, 0)], mode="edge")
    output = self._run(padded, np.pad(mask, after))[:height, :width]
    return np.where(mask[..., None] > 0, output, composite)

  def _run(self, composite: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What the network makes of one image: float32 I_h, or its pixels."""
    batch = composite[None], mask[None, ..., None]
    return np.asarray(self._network(self._params, *batch))[0]


def _make_network(model: ModelConfig):
  """Of parameters and uint8 batches, I_h in [-1, 1]; not jitted."""
  network = HDNet(**dataclasses.asdict(model))

  def harmonize(params, composite, mask):
    image, mask = normalize(composite), mask.astype(jnp.float32)
    return blend(network.apply({"params": params}, image, mask), image, mask)

  return harmonize


def reduced(
  composite: np.ndarray, mask: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
  """The image as it is in training: uint8 [size, size, 3], [size, size].

  The nearest pixels can miss a small object. Then the small pixels that hold
  some of it are its mask, and have the mean colour of the object's part there.
  """
  small = np.asarray(resize_image(Image.fromarray(composite), size))
  small_mask = np.asarray(resize_mask(Image.fromarray(mask), size))
  if small_mask.any():
    return small, small_mask
  height, width = mask.shape
  rows, columns = np.nonzero(mask)
  cells = (rows * size // height) * size + columns * size // width
  count = np.bincount(cells, minlength=size * size)
  found = count > 0
  small = small.reshape(-1, 3).copy()
  for channel in range(3):
    values = composite[rows, columns, channel]
    sums = np.bincount(cells, values, size * size)
    small[found, channel] = np.rint(sums[found] / count[found])
  mask = found.astype(np.uint8)
  return small.reshape(size, size, 3), mask.reshape(size, size)


def _checked(
  composite: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The arrays, the mask as uint8 [H, W]."""
  shape = composite.shape
  right = composite.ndim == 3 and shape[-1] == 3 and composite.size > 0
  if composite.dtype != np.uint8 or not right:
    raise ValueError(
      f"composite is uint8 [height, width, 3], not {composite.dtype} {shape}"
    )
  height, width, _ = shape
  if mask.shape not in ((height, width), (height, width, 1)):
    raise ValueError(
      f"mask is {shape[:2]} for a composite of {shape}, not {mask.shape}"
    )
  if mask.dtype not in (np.uint8, np.bool_):
    raise ValueError(f"mask is uint8 or bool, not {mask.dtype}")
  mask = mask.reshape(height, width).astype(np.uint8)
  if mask.max() > 1:
    raise ValueError(
      f"mask is 0 or 1, not {mask.max()}; compare a gray one: mask > 127"
    )
  return composite, mask
