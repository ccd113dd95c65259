"""A ComfyUI node that recolours the pasted part of images, so that it fits.

Images are float [batch, height, width, 3], or 4 with alpha, in 0 to 1. Masks
are float [batch, height, width] in 0 to 1; 1 is what changes.
"""

import functools
from typing import Any

import numpy as np
from comfy.utils import ProgressBar

from hdnet_jax import Harmonizer
from hdnet_jax.errors import UserError
from hdnet_jax.inference.engine import BATCH
from hdnet_jax.inference.strength import MAX_STRENGTH

# What Load Image gives as the mask of a file without transparency.
_NO_MASK = (64, 64)


class HarmonizeImage:
  """Harmonize every image of a batch, such as the frames of a video."""

  CATEGORY = "image/postprocessing"
  DESCRIPTION = (
    "Recolours the pasted part of images, which the mask marks, so that it "
    "fits the rest."
  )
  RETURN_TYPES = ("IMAGE",)
  FUNCTION = "harmonize"

  @classmethod
  def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
    strength = "how much of the change is made"
    feather = "pixels over which it rises from the mask's edge inwards"
    weights = (
      "a released network, or the path of a .safetensors or .onnx file or of "
      "a run's folder"
    )
    return {
      "required": {
        "image": ("IMAGE",),
        "mask": ("MASK", {"tooltip": "1, white, is the pasted part"}),
        "strength": ("FLOAT", _number(1.0, MAX_STRENGTH, 0.05, strength)),
        "feather": ("FLOAT", _number(0.0, 1000.0, 1.0, feather)),
        "weights": ("STRING", {"default": "hdnet-lite", "tooltip": weights}),
      }
    }

  def harmonize(
    self, image: Any, mask: Any, strength: float, feather: float, weights: str
  ) -> tuple[Any]:
    """Return a tensor of the image's shape, type and device.

    Raises:
      UserError: where there is neither one mask nor one for each image, where
        they differ in size, and where the weights cannot be loaded.
    """
    result = image.float().cpu().clone()
    pixels = result.numpy()  # the same memory: it is written in place
    masks = _masks_of(pixels, mask.float().cpu().numpy())
    network = load_network(weights)
    bar = ProgressBar(len(pixels))
    for first in range(0, len(pixels), BATCH):
      chunk = slice(first, first + BATCH)
      # Other nodes may leave values a little outside.
      frames = np.clip(pixels[chunk], 0, 1)
      pairs = zip(frames, np.clip(masks[chunk], 0, 1), strict=True)
      changed = network.batch(pairs, strength=strength, feather=feather)
      pixels[chunk] = changed
      bar.update(len(changed))  # raises where the user stops the queue
    return (result.to(image),)


@functools.lru_cache(maxsize=1)
def load_network(weights: str) -> Harmonizer:
  """Load a network once, not at every run of the graph."""
  return Harmonizer.from_pretrained(weights)


def _masks_of(pixels: np.ndarray, masks: np.ndarray) -> np.ndarray:
  """Return a mask for each image, [batch, height, width]."""
  count, height, width = pixels.shape[:3]
  # Some nodes give a mask alone, [height, width].
  masks = masks.reshape(-1, *masks.shape[-2:])
  size = masks.shape[1:]
  if size != (height, width):
    empty = size == _NO_MASK and not masks.any()
    raise UserError(
      f"the mask is {size[1]}x{size[0]} and the image {width}x{height}; give a "
      "mask of the image's size"
      + (": Load Image has none for a file without transparency" * empty)
    )
  if len(masks) not in (1, count):
    raise UserError(
      f"there are {len(masks):,} masks for {count:,} images; give one for "
      "each, or one for all"
    )
  return np.broadcast_to(masks, (count, height, width))


def _number(
  default: float, most: float, step: float, tooltip: str
) -> dict[str, Any]:
  """Return what ComfyUI needs to know of a number that is 0 or more."""
  limits = {"min": 0.0, "max": most, "step": step}
  return {"default": default, **limits, "tooltip": tooltip}


NODE_CLASS_MAPPINGS = {"HDNetHarmonize": HarmonizeImage}
NODE_DISPLAY_NAME_MAPPINGS = {"HDNetHarmonize": "Harmonize (HDNet)"}
