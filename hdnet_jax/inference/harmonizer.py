"""Harmonize images of any size and kind with a trained network."""

import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy as np
from PIL import Image

from hdnet_jax import weights
from hdnet_jax.cpus import count_cpus
from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.inference.change import ChangeOptions
from hdnet_jax.inference.engine import BATCH, Engine, EngineName, load_engine
from hdnet_jax.inference.inputs import (
  Picture,
  Scene,
  check_scene,
  mask_of_alpha,
  open_composite,
  open_mask,
)
from hdnet_jax.inference.modes import (
  Mode,
  NetworkInput,
  apply_output,
  find_object,
  fit_maps,
  network_input,
)
from hdnet_jax.inference.recent_outputs import RecentOutputs
from hdnet_jax.model.architecture import REDUCTION

_MAX_THREADS = 4  # each takes some 100 MB to fit the change of a 256x256 image
_WHOLE_CHANGE = ChangeOptions()


class MaskWarning(UserWarning):
  """A mask covers nothing or almost everything, or had to be turned."""


class SizeWarning(UserWarning):
  """An .onnx file takes one size alone, and was trained at another."""


class Harmonizer:
  """Recolour the pasted part of images so that it fits the rest.

    harmonizer = hdnet_jax.Harmonizer.from_pretrained("runs/quickstart")
    result = harmonizer(composite, mask)

  Make one and use it for many images, from several threads if need be. It can
  be pickled; its network is made anew where it is unpickled.

  Args:
    network: from `make_engine`.
    image_size: side of the square images that the network was trained on, a
      multiple of 8.
    mode: "guided": the network sees a small image, and its change of colours is
      carried to the large one by `guided_filter`. JAX compiles it once, at the
      first call, and once more for `batch`. "direct": the network sees the
      image at its own size, which takes more memory and time, and JAX compiles
      it for each size in steps of 8 pixels.

  Raises:
    UserError: for another size or mode.
  """

  def __init__(
    self,
    network: Engine,
    image_size: int = weights.IMAGE_SIZE,
    mode: Mode = "guided",
  ):
    if mode not in get_args(Mode):
      raise UserError(f"mode={mode!r} is none of {get_args(Mode)}")
    if image_size < REDUCTION or image_size % REDUCTION:
      raise UserError(
        f"image_size={image_size} is no multiple of {REDUCTION}; give the size "
        "that the network was trained at"
      )
    self.image_size, self._network = image_size, network
    self.mode: Mode = mode

  @classmethod
  def from_pretrained(
    cls,
    name: str | os.PathLike,
    mode: Mode = "guided",
    image_size: int | None = None,
    engine: EngineName = "auto",
  ) -> "Harmonizer":
    """Make a harmonizer with trained weights.

    Args:
      name: a released network, such as "hdnet-lite"; a .safetensors file; a
        run's folder, see `weights.load`; or an .onnx file of `hdnet export`.
      mode: as in the class.
      image_size: as in the class; by default that of the training, where the
        weights tell it, else 256.
      engine: what runs the network, "onnxruntime" or "jax", as `choose` says;
        "auto" is JAX where it has an accelerator, else ONNX Runtime where it is
        installed. Both make the same image within 1/255.

    Warns:
      SizeWarning: where an .onnx file takes images of one size alone, which is
        not that of the training.

    Raises:
      UserError: where there are no such weights, or they cannot be used; and
        MissingLibrary where the engine is not installed.
    """
    network, trained, only_size = load_engine(name, engine)
    if only_size:
      image_size = _side_of(name, only_size, image_size, trained, mode)
    return cls(network, image_size or trained, mode)

  def remembering(self, most_bytes: int) -> "Harmonizer":
    """Return a harmonizer that keeps the latest outputs of its network.

    With it, another strength or feather for the same image takes no run.

    Args:
      most_bytes: limit of the outputs; the least recently used are dropped.
    """
    network = RecentOutputs(self._network, most_bytes)
    return Harmonizer(network, self.image_size, self.mode)

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
    """Return the harmonized image, in the kind of the composite.

    An array gives one of its shape and type. A PIL image gives one of its mode
    if that is RGB, RGBA, L, LA or I;16; others, which do not hold every colour
    exactly, give RGB or RGBA. A path gives a PIL image of these modes, upright,
    with 8 bits for colours: give an array to keep 16. Alpha is kept.

    Where the mask is 0 the result is a copy, bit by bit; between 0 and 1 it is
    a mix of copy and change. What is transparent is no background: its colours
    do not count. Where no object is visible, or alpha leaves no background, all
    of it is a copy.

    Args:
      composite: a PIL image; an array [H, W, 3], RGB, or [H, W, 4], RGBA, that
        is uint8, uint16, or float32 or float64 in 0 to 1; or a path, a file
        that is open for reading, or its bytes. An array of JAX, PyTorch or
        another library that has `__array__` or `__dlpack__` gives one of NumPy.
      mask: white, 1, is the foreground, which changes; the network's object is
        what is over 0.5. A PIL image, of which the gray counts; an array [H, W]
        or [H, W, C], that is bool, integers (of which 1 is white if none is
        above 1; else 255, or 65535 if any is above 255), or float in 0 to 1; or
        a path, file or bytes. A cut-out's mask is its alpha.
      strength, feather, background: as in `ChangeOptions`.
      mask_from_alpha: whether the composite's own alpha is the mask. Then no
        `mask` is given, and what alpha hides is the background.

    Warns:
      MaskWarning: for a mask that covers more than 95 % of the image, or
        nothing; for one that is turned as its composite's EXIF data says, and
        where nothing tells whether it must be.

    Raises:
      UserError: for other shapes, types and values, and files that cannot be
        read.
    """
    change = ChangeOptions(strength, feather, background)
    return self._harmonize([(composite, mask)], change, mask_from_alpha)[0]

  def batch(
    self,
    pairs: Iterable[tuple[Picture, Picture | None]],
    *,
    strength: float = 1.0,
    feather: float = 0.0,
    background: bool = False,
    mask_from_alpha: bool = False,
  ) -> list[Image.Image | np.ndarray]:
    """Harmonize each pair (composite, mask) as a call does, 8 at a time.

    In mode "guided" the network sees them at once, and the rest of the work is
    done in threads. Sizes and kinds may differ. Results may differ from those
    of calls by the rounding of floats.
    """
    change = ChangeOptions(strength, feather, background)
    results = []
    for chunk in _chunks(pairs, BATCH):
      results += self._harmonize(chunk, change, mask_from_alpha)
    return results

  def harmonize(
    self,
    composite: np.ndarray,
    mask: np.ndarray,
    change: ChangeOptions = _WHOLE_CHANGE,
    alpha: np.ndarray | None = None,
  ) -> np.ndarray:
    """Harmonize a `Scene` of arrays, without warnings."""
    return self.harmonize_scenes([Scene(composite, mask, alpha)], change)[0]

  def harmonize_scenes(
    self, scenes: Iterable[Scene], change: ChangeOptions = _WHOLE_CHANGE
  ) -> list[np.ndarray]:
    """Harmonize scenes of any sizes and types, as `batch` does.

    Raises:
      UserError: for other shapes, types and values than those of `Scene`; masks
        may be of any kind that `mask_of_array` takes.
    """
    scenes = [check_scene(scene) for scene in scenes]
    scenes = [
      scene._replace(mask=change.region(scene.mask)) for scene in scenes
    ]
    objects = [
      find_object(scene) if change.strength else None for scene in scenes
    ]
    results = {
      index: scenes[index].composite.copy()
      for index, inside in enumerate(objects)
      if inside is None
    }
    remaining = [i for i, inside in enumerate(objects) if inside is not None]
    size = BATCH if self.mode == "guided" and len(remaining) > 1 else 1

    def finish(index: int, seen: NetworkInput, output: np.ndarray) -> None:
      scene = scenes[index]
      results[index] = apply_output(scene, change, seen, output, self.mode)

    threads = min(count_cpus(), _MAX_THREADS)
    with ThreadPoolExecutor(threads if size > 1 else 1) as pool:
      for chunk in _chunks(remaining, size):
        seen = [self._input(scenes[i], objects[i]) for i in chunk]
        outputs = self._run(seen)
        list(pool.map(finish, chunk, seen, outputs))  # raises what they raise
    return [results[index] for index in range(len(scenes))]

  def fit_maps(
    self, composite: np.ndarray, mask: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps of `guided_filter.fit`, for mode "guided".

    Args:
      composite, mask: of a `Scene`; the mask is over 0.5 somewhere.

    Returns:
      maps: float32 [3, 4, h, w].
      image: what the network saw, float32 [h, w, 3] in -1 to 1.
    """
    seen = self._input(Scene(composite, mask), mask > 0.5)
    (output,) = self._run([seen])
    return fit_maps(seen, output), seen.image

  def _harmonize(
    self,
    pairs: Sequence[tuple[Picture, Picture | None]],
    change: ChangeOptions,
    mask_from_alpha: bool,
  ) -> list[Image.Image | np.ndarray]:
    scenes, restores = [], []
    for picture, mask in pairs:
      composite = open_composite(picture)
      alpha, notes = composite.alpha, ()
      if not mask_from_alpha:
        mask, notes = open_mask(mask, composite)
      elif mask is None:
        mask, alpha = mask_of_alpha(composite), None
      else:
        raise UserError("give a mask or mask_from_alpha=True, not both")
      if message := masks.report(mask, "give 1 - mask", alpha):
        notes = (*notes, message)
      for note in notes:
        # Point the warning at the line that calls the public method.
        warnings.warn(note, MaskWarning, stacklevel=3)
      scenes.append(Scene(composite.pixels, mask, alpha))
      restores.append(composite.restore)
    results = self.harmonize_scenes(scenes, change)
    return [
      restore(result) for restore, result in zip(restores, results, strict=True)
    ]

  def _input(self, scene: Scene, inside: np.ndarray) -> NetworkInput:
    return network_input(scene, inside, self.mode, self.image_size)

  def _run(self, seen: Sequence[NetworkInput]) -> np.ndarray:
    """Return the network's images of inputs of one size."""
    images, inside = (np.stack(arrays) for arrays in zip(*seen, strict=True))
    return self._network(images, inside.astype(np.float32)[..., None])


def _side_of(
  name: str | os.PathLike,
  only_size: tuple[int, int],
  asked: int | None,
  trained: int,
  mode: Mode,
) -> int:
  """Return an .onnx file's only side; warn if its training had another."""
  side, width = only_size
  only = f"{name} takes images of {side}x{width} only"
  conflicts = {
    "squares": side != width,
    "any, as mode 'direct' does": mode == "direct",
    f"image_size={asked}": asked not in (None, side),
  }
  for other, is_asked in conflicts.items():
    if is_asked:
      raise UserError(f"{only}, not {other}; export it with --size dynamic")
  if side != trained:
    warnings.warn(
      f"{only}; so that is what the network sees, which was trained at "
      f"{trained}x{trained}",
      SizeWarning,
      stacklevel=3,
    )
  return side


def _chunks(items: Iterable, size: int) -> Iterator[list]:
  """Split items into lists of `size`; the last is shorter."""
  items = iter(items)
  while chunk := list(itertools.islice(items, size)):
    yield chunk
