"""Arrays harmonized at any size and depth: what a trained network is for.

The core of the public `hdnet_jax.Harmonizer`, which knows of files and images.
"""

import dataclasses
import itertools
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import jax
import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.devices import compiler_options
from hdnet_jax.errors import UserError
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.arrays import Pair, Scene, as_scene, to_bytes
from hdnet_jax.inference.feather import feathered
from hdnet_jax.inference.reduction import filled, reduced, reduced_visible
from hdnet_jax.model.hdnet import REDUCTION, HDNet, blend

Mode = Literal["guided", "direct"]
BATCH = 8  # images that the network sees at once, where there are many
_MOST_THREADS = 4  # each takes some 100 MB to fit the change of a 256x256 image


class SizedNetwork:
  """One network for images of any size.

  In mode "guided" the network sees the image at its training size, and its
  change of colours is carried to the image's own size: `guided`. It is compiled
  once, and once more for `many`. In mode "direct" the network sees the image at
  its own size, which takes more memory and time, and a compilation for every
  size in steps of 8 pixels.

  It may be called from several threads at once.

  Args:
    params: the network's parameters, as `weights.load` gives them.
    model: the network that they are of.
    image_size: side of the square that it was trained on, a multiple of 8.
    mode: one of the two above.

  Raises:
    UserError: for another size or mode.
  """

  def __init__(
    self,
    params: Mapping[str, Any],
    model: ModelConfig,
    image_size: int = 256,
    mode: Mode = "guided",
  ):
    if mode not in get_args(Mode):
      raise UserError(f"mode={mode!r} is none of {get_args(Mode)}")
    if image_size < REDUCTION or image_size % REDUCTION:
      raise UserError(
        f"image_size={image_size} is no multiple of {REDUCTION}; give the size "
        "that the network was trained at"
      )
    self.image_size, self.mode, self._model = image_size, mode, model
    # One image at a time has no use for more devices than one.
    device = jax.local_devices()[0]
    self._params = jax.device_put(jax.device_get(params), device)
    self._network = jax.jit(
      _make_network(model),
      compiler_options=compiler_options(device.platform),
    )
    self._programs: dict[tuple[int, ...], jax.stages.Compiled] = {}
    self._lock = threading.Lock()

  def __reduce__(self):
    """Pickles what it was made of; its programs are compiled anew."""
    params = jax.device_get(self._params)
    return type(self), (params, self._model, self.image_size, self.mode)

  def __call__(
    self,
    composite: np.ndarray,
    mask: np.ndarray,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
    alpha: np.ndarray | None = None,
  ) -> np.ndarray:
    """The harmonized image, of the composite's shape and type.

    Where the mask is 0 it is a copy, bit by bit. The network sees as the object
    what is over 0.5 in the mask; where nothing is, all of it is a copy. So it
    is where nothing else is visible.

    Args:
      composite: uint8 or uint16, or float32 or float64 in 0 to 1; [H, W, 3],
        RGB as it is shown, not linear light.
      mask: as `arrays.as_mask` takes it; the share of a pixel that changes.
      strength: 0 to 1, the share of the change that is made; 0 makes a copy.
      feather: pixels over which the change sets in, as `feathered` says.
      background: whether what the mask leaves changes instead, to fit.
      alpha: the composite's, of its type, [H, W]. Colours where it is 0 are
        nothing that the object is fitted to.

    Raises:
      UserError: for other shapes, types and values.
    """
    scenes = [(composite, mask, alpha)]
    return self.many(scenes, strength, feather, background)[0]

  def many(
    self,
    scenes: Sequence[tuple[np.ndarray, ...]],
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
  ) -> list[np.ndarray]:
    """What a call makes of each scene; sizes and types may differ.

    A scene is a composite, its mask and, if it has one, its alpha.

    In mode "guided" the network sees BATCH of them at once, and the rest of the
    work is done in threads.
    """
    check_options(strength, feather)
    scenes = [as_scene(*scene) for scene in scenes]
    if not strength:
      return [scene.composite.copy() for scene in scenes]
    if background:
      scenes = [_inverted(scene) for scene in scenes]
    insides = [_inside(scene) for scene in scenes]
    results = [
      None if _is_to_do(scene, inside) else scene.composite.copy()
      for scene, inside in zip(scenes, insides, strict=True)
    ]
    busy = [index for index, result in enumerate(results) if result is None]
    size = BATCH if self.mode == "guided" and len(busy) > 1 else 1

    def change(index: int, seen: Pair, output: np.ndarray) -> None:
      composite, mask, _ = scenes[index]
      results[index] = self._change(
        composite, feathered(mask, feather), seen, output, strength
      )

    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    with ThreadPoolExecutor(threads if size > 1 else 1) as pool:
      for chunk in chunks(busy, size):
        seen = [self._seen(scenes[index], insides[index]) for index in chunk]
        outputs = self._run(seen, size)
        list(pool.map(change, chunk, seen, outputs))  # raises what they raise
    return results

  def maps(
    self, composite: np.ndarray, mask: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """The maps of `guided_filter.fit`, and what the network saw.

    They are float32 [3, 4, h, w] and [h, w, 3] in -1 to 1. For mode "guided".

    Args:
      composite: as of a call.
      mask: of `arrays.as_mask`; over 0.5 in a pixel or more.
    """
    seen = self._seen(Scene(composite, mask), mask > 0.5)
    (output,) = self._run([seen], 1)
    return _fitted(seen, output), seen[0]

  def _seen(self, scene: Scene, inside: np.ndarray) -> Pair:
    """What the network sees: float32 [h, w, 3] in -1 to 1, bool [h, w]."""
    composite, alpha, size = scene.composite, scene.alpha, self.image_size
    if self.mode == "guided":
      if alpha is None:
        composite, inside = reduced(to_bytes(composite), inside, size)
      else:
        composite, inside = reduced_visible(scene, inside, size)
    else:
      if alpha is not None:
        composite = filled(composite, inside, alpha > 0)
      after = [(0, -size % REDUCTION) for size in inside.shape]
      composite = np.pad(composite, [*after, (0, 0)], mode="edge")
      inside = np.pad(inside, after)
    half = np.float32(guided_filter.peak(composite.dtype) / 2)
    return composite.astype(np.float32) / half - 1, inside

  def _run(self, seen: Sequence[Pair], size: int) -> np.ndarray:
    """I_h of what is seen and of repetitions up to `size`, float32."""
    seen = [*seen, *itertools.repeat(seen[-1], size - len(seen))]
    images, masks = (np.stack(arrays) for arrays in zip(*seen, strict=True))
    batch = images, masks.astype(np.float32)[..., None]
    # Two threads would compile the same program twice.
    with self._lock:
      if images.shape not in self._programs:
        lowered = self._network.lower(self._params, *batch)
        self._programs[images.shape] = lowered.compile()
    return np.asarray(self._programs[images.shape](self._params, *batch))

  def _change(
    self,
    composite: np.ndarray,
    mask: np.ndarray,
    seen: Pair,
    output: np.ndarray,
    strength: float,
  ) -> np.ndarray:
    """The composite after the change from what was seen to the output."""
    if self.mode == "guided":
      maps = _fitted(seen, output)
      return guided_filter.apply(maps, composite, mask, strength)
    image, inside = seen
    change = (output - image) / 2  # of colours from 0 to 1
    height, width = mask.shape
    if mask.dtype != bool:
      # Soft edges reach to where the network changes nothing.
      change = guided_filter.extend(change, inside)
    change = change[:height, :width]
    white = np.float32(guided_filter.peak(composite.dtype))

    def changed(part: guided_filter.Part) -> Iterator[np.ndarray]:
      for channel in range(3):
        yield change[*part, channel] * white + composite[*part, channel]

    return guided_filter.mix(composite, mask, changed, strength)


def _inverted(scene: Scene) -> Scene:
  """The background as what changes, where the mask covers anything."""
  mask = scene.mask
  if not (mask > 0.5).any():
    return scene
  return scene._replace(mask=~mask if mask.dtype == bool else 1 - mask)


def _inside(scene: Scene) -> np.ndarray:
  """The object: what is white, and is not transparent."""
  inside = scene.mask > 0.5
  return inside if scene.alpha is None else inside & (scene.alpha > 0)


def _is_to_do(scene: Scene, inside: np.ndarray) -> bool:
  """Whether there is an object, and something visible to fit it to."""
  if scene.alpha is None:
    return bool(inside.any())
  return bool(inside.any() and ((scene.alpha > 0) & ~inside).any())


def _fitted(seen: Pair, output: np.ndarray) -> np.ndarray:
  """The maps from what was seen to the output."""
  image, inside = seen
  return guided_filter.fit((image + 1) / 2, (output - image) / 2, inside)


def _make_network(model: ModelConfig):
  """Of parameters, images in -1 to 1 and masks, I_h; not jitted."""
  network = HDNet(**dataclasses.asdict(model))

  def harmonize(params, image, mask):
    return blend(network.apply({"params": params}, image, mask), image, mask)

  return harmonize


def chunks(items, size: int) -> Iterator[list]:
  """The items in lists of `size`, the last one shorter; taken on demand."""
  items = iter(items)
  while chunk := list(itertools.islice(items, size)):
    yield chunk


def check_options(strength: float, feather: float) -> None:
  """Raises UserError for what is out of range."""
  if not 0 <= strength <= 1:
    raise UserError(f"strength={strength} is not in 0 to 1")
  if not 0 <= feather < math.inf:
    raise UserError(f"feather={feather} is not a number of pixels, 0 or more")
