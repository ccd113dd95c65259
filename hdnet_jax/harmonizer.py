"""The public inference API: images, arrays or files in, harmonized ones out."""

import os
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.inference.harmonizer import (
  BATCH,
  Mode,
  SizedNetwork,
  check_options,
  chunks,
)
from hdnet_jax.inference.kinds import (
  Picture,
  mask_of_alpha,
  open_composite,
  open_mask,
)
from hdnet_jax.trained import IMAGE_SIZE, find


class MaskWarning(UserWarning):
  """A mask that covers nothing, or almost everything, or had to be turned."""


class Harmonizer:
  """Recolours the pasted part of images so that it fits the rest.

    harmonizer = hdnet_jax.Harmonizer.from_pretrained("runs/quickstart")
    result = harmonizer(composite, mask)

  One is made once and used for many images, from several threads if need be.
  The network is compiled at the first call, for all sizes (mode "guided"). It
  can be pickled, for data loaders and processes, and is compiled anew there.

  Args:
    params: the network's parameters, as `hdnet_jax.weights.load` gives them.
    model: the network that they are of.
    image_size: side of the square that it was trained on, a multiple of 8.
    mode: "guided": the network sees a small image, and its change is carried to
      the large one; fast, and in the memory of a few images. "direct": it sees
      the image at its own size, and is compiled for each (in steps of 8).

  Raises:
    UserError: for another size or mode.
  """

  def __init__(
    self,
    params: Mapping[str, Any],
    model: ModelConfig,
    image_size: int = IMAGE_SIZE,
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
    params, model, trained_at = find(name)
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
    mask: Picture | None = None,
    *,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
    mask_from_alpha: bool = False,
  ) -> Image.Image | np.ndarray:
    """The composite, harmonized, in the kind that it has.

    An array becomes one of its shape and type. A PIL image becomes one of its
    mode: RGB, RGBA, L, LA and I;16 (a gray one stays gray); others, which do
    not hold every colour exactly, become RGB or RGBA. Alpha is kept. A path
    gives a PIL image of these modes, upright; of a colour file of 16 bits it
    holds 8, as Pillow does: give an array to keep them.

    Where the mask is 0 the result is a copy, bit by bit; between 0 and 1 it is
    mixed of both. What is transparent is no background: its colours count
    nothing.

    Args:
      composite: a PIL image; an array [H, W, 3], RGB, or [H, W, 4], RGBA, that
        is uint8, uint16, or float32 or float64 in 0 to 1; or a path, a file
        that is open for reading, or its bytes. An array of JAX, PyTorch or
        another library that has `__array__` or `__dlpack__` is taken as one of
        NumPy, and so is what comes back.
      mask: white, 1, is the foreground, which is what changes; over 0.5 it is
        what the network takes for it. A PIL image, of which the gray counts; an
        array [H, W] or [H, W, C], that is bool, integers (of which 1 is white
        if none is above 1; else 255, or 65535 if any is above 255), or float in
        0 to 1; or a path, file or bytes. Of a cut-out it is the alpha. It need
        not be of the composite's kind.
      strength: 0 to 1, the share of the change that is made; 0 makes a copy.
      feather: pixels over which the change rises from the mask's edge inwards.
      background: whether the background changes, to fit the foreground; then
        it is a copy where the mask is 1.
      mask_from_alpha: whether the composite's own alpha is the mask, and none
        is given; what it hides is then the background.

    Warns:
      MaskWarning: for a mask that covers more than 95 % of the image, or
        nothing; of the latter the result is a copy. For one that is turned as
        its composite's EXIF data says, and where nothing tells if it must be.

    Raises:
      UserError: for other shapes, types and values.
      UserError: where a file cannot be read.
    """
    options = strength, feather, background, mask_from_alpha
    return self._many([(composite, mask)], *options)[0]

  def batch(
    self,
    pairs: Iterable[tuple[Picture, Picture | None]],
    *,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
    mask_from_alpha: bool = False,
  ) -> list[Image.Image | np.ndarray]:
    """What a call makes of each pair (composite, mask); options as there.

    In mode "guided" the network sees 8 images at once, and the rest of the work
    is done in threads. Sizes and kinds may differ. Pairs are taken, and files
    read, 8 at a time. Results may differ from those of calls by the rounding of
    floats.
    """
    results = []
    for chunk in chunks(pairs, BATCH):
      results += self._many(
        chunk, strength, feather, background, mask_from_alpha
      )
    return results

  def _many(
    self,
    pairs: list[tuple[Picture, Picture | None]],
    strength: float,
    feather: float,
    background: bool,
    mask_from_alpha: bool,
  ) -> list[Image.Image | np.ndarray]:
    check_options(strength, feather)  # before files are read
    scenes, restores = [], []
    for composite, mask in pairs:
      opened = open_composite(composite)
      if mask_from_alpha:
        if mask is not None:
          raise UserError("give a mask or mask_from_alpha=True, not both")
        mask, notes = mask_of_alpha(opened), ()
      else:
        mask, notes = open_mask(mask, opened)
      alpha = None if mask_from_alpha else opened.alpha
      if message := masks.report(mask, "give 1 - mask", alpha):
        notes = (*notes, message)
      for note in notes:
        # To the line that calls the public method.
        warnings.warn(note, MaskWarning, stacklevel=3)
      scenes.append((opened.pixels, mask, alpha))
      restores.append(opened.restore)
    results = self._network.many(scenes, strength, feather, background)
    return [
      restore(result) for restore, result in zip(restores, results, strict=True)
    ]
