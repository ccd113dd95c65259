"""Run the network by JAX or ONNX Runtime, behind one interface."""

import importlib.metadata
import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args

import numpy as np

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError, require

BATCH = 8  # images that the network sees at once, where there are many
ONNX_SUFFIX = ".onnx"

EngineName = Literal["auto", "onnxruntime", "jax"]


class Engine(Protocol):
  """A network that is ready to run, from several threads if need be.

  It can be pickled.
  """

  def __call__(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the harmonized images; where a mask is 0 they are copies.

    Args:
      images: float32 [B, H, W, 3] in -1 to 1; sides are multiples of 8.
      masks: float32 0/1 [B, H, W, 1].
    """
    ...


def choose(engine: EngineName) -> Literal["onnxruntime", "jax"]:
  """Return the engine of a name; "auto" is the fastest that is installed.

  That is JAX where it has an accelerator, else ONNX Runtime, else JAX.

  Raises:
    UserError: for another name; MissingLibrary for one that is not installed.
  """
  if engine not in get_args(EngineName):
    raise UserError(f"engine={engine!r} is none of {get_args(EngineName)}")
  has_jax, has_runtime = map(_is_installed, ("jax", "onnxruntime"))
  if engine == "auto":
    use_jax = has_jax and (_has_accelerator() or not has_runtime)
    engine = "jax" if use_jax else "onnxruntime"
  require(engine, f"the engine {engine}")
  return engine


def make_engine(
  params: Mapping[str, Any], model: ModelConfig, engine: EngineName = "auto"
) -> Engine:
  """Make the engine of a name for a network.

  Args:
    params, model: from `weights.load`.
    engine: as in `choose`.
  """
  # Imported only when chosen, for each module imports its library.
  if choose(engine) == "jax":
    from hdnet_jax.inference.engine_jax import JaxEngine

    return JaxEngine(params, model)
  from hdnet_jax.inference.engine_onnxruntime import OnnxRuntimeEngine

  return OnnxRuntimeEngine.build(params, model)


def load_engine(
  name: str | os.PathLike, engine: EngineName = "auto"
) -> tuple[Engine, int, tuple[int, int] | None]:
  """Make an engine with the weights of a name.

  Args:
    name: as in `weights.load`, or an .onnx file of `hdnet export`.
    engine: as in `choose`; ONNX Runtime alone takes an .onnx file.

  Returns:
    The engine; the image size of the training; and the only height and width
    that the engine takes, or None if it takes any.

  Raises:
    UserError: where there are no such weights, or they cannot be used.
  """
  if pathlib.Path(name).suffix != ONNX_SUFFIX:
    loaded = weights.load(name)
    return make_engine(*loaded[:2], engine), loaded.image_size, None
  if engine == "jax":
    raise UserError(
      f"{name} is for the engine onnxruntime, not jax; give that, or the "
      "weights that the file was made of"
    )
  choose("onnxruntime")
  from hdnet_jax.inference.engine_onnxruntime import OnnxRuntimeEngine

  network = OnnxRuntimeEngine.load(pathlib.Path(name))
  return network, network.image_size, network.only_size


def _is_installed(library: str) -> bool:
  return importlib.util.find_spec(library) is not None


def _has_accelerator() -> bool:
  """Return whether JAX has an accelerator; import JAX only if it could."""
  if os.environ.get("JAX_PLATFORMS") == "cpu":
    return False
  plugins = importlib.metadata.entry_points(group="jax_plugins")
  if not (plugins or any(map(_is_installed, ("jax_plugins", "libtpu")))):
    return False
  import jax

  return jax.default_backend() != "cpu"
