"""The network in JAX: on a GPU or TPU where there is one."""

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.devices import compiler_options
from hdnet_jax.inference.engine import BATCH
from hdnet_jax.model.hdnet import HDNet, apply, blend


class JaxEngine:
  """An `Engine` that compiles the network by size, for 1 image and for `BATCH`.

  Args:
    params: the network's parameters, from `weights.load`.
    model: the settings of the network.
  """

  def __init__(self, params: Mapping[str, Any], model: ModelConfig):
    # One image at a time has no use for more devices than one.
    device = jax.local_devices()[0]
    self._model = model
    self._params = jax.device_put(jax.device_get(params), device)
    self._network = jax.jit(
      _make_network(model), compiler_options=compiler_options(device.platform)
    )
    self._programs: dict[tuple[int, ...], jax.stages.Compiled] = {}
    self._lock = threading.Lock()

  def __reduce__(self):
    """Pickle the arguments; programs are compiled anew."""
    return type(self), (jax.device_get(self._params), self._model)

  def __call__(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the images, as `Engine` says."""
    count = len(images)
    if 1 < count < BATCH:  # pad to BATCH, to compile no other program
      rest = [(0, BATCH - count), (0, 0), (0, 0), (0, 0)]
      images, masks = (np.pad(x, rest, mode="edge") for x in (images, masks))
    # Two threads would compile the same program twice.
    with self._lock:
      if images.shape not in self._programs:
        lowered = self._network.lower(self._params, images, masks)
        self._programs[images.shape] = lowered.compile()
    program = self._programs[images.shape]
    return np.asarray(program(self._params, images, masks))[:count]


def _make_network(model: ModelConfig):
  network = HDNet(**dataclasses.asdict(model))

  def harmonize(params: Any, image: jax.Array, mask: jax.Array) -> jax.Array:
    return blend(apply(network, params, image, mask), image, mask)

  return harmonize
