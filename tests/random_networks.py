"""Networks with random parameters, in JAX."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.hdnet import HDNet, blend


@functools.cache
def params_of(model: ModelConfig) -> dict:
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  network = HDNet(**dataclasses.asdict(model))
  shapes = jax.eval_shape(network.init, jax.random.key(0), image, mask)
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda leaf: (0.15 * rng.normal(size=leaf.shape)).astype(np.float32),
    shapes["params"],
  )


@functools.cache
def in_jax(model: ModelConfig):
  """A compiled function of image and mask that harmonizes."""
  network = HDNet(**dataclasses.asdict(model))

  @jax.jit
  def harmonize(image, mask):
    output = network.apply({"params": params_of(model)}, image, mask)
    return blend(output, image, mask)

  return harmonize
