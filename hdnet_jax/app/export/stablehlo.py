"""The network as serialized StableHLO: a program that needs jax alone to run.

    program = jax.export.deserialize(bytearray(pathlib.Path(FILE).read_bytes()))
    harmonized = program.call(composite, mask)

It holds the parameters, and runs on the CPU, CUDA and TPU. JAX promises to read
it for six months after the version that wrote it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
from jax import export

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.hdnet import REDUCTION, HDNet, apply, blend
from hdnet_jax.model.local_dynamics import QUERY_TILE
from hdnet_jax.model.pixels import normalize, to_pixels

PLATFORMS = ("cpu", "cuda", "tpu")
# LD's search of an unknown size is in whole tiles: 128x128 pixels, 64x256, ...
LEAST_PIXELS = QUERY_TILE * REDUCTION**2


def build(
  params: Mapping,
  model: ModelConfig,
  size: tuple[int, int] | None = None,
  pixels: Literal["float32", "uint8"] = "float32",
) -> export.Exported:
  """Export I_h of a composite [B, H, W, 3] and a mask [B, H, W, 1].

  Any batch size is taken. Where the mask is 0 the output is a copy.

  Args:
    params: of `weights.load`.
    model: the network that they are of.
    size: height and width, multiples of 8; None takes every size of multiples
      of 8 with LEAST_PIXELS or more, and compiles once for each.
    pixels: as for `onnx.network.build`.

  Raises:
    ValueError: for a size that is no multiple of 8.
  """
  if size and (min(size) < REDUCTION or any(x % REDUCTION for x in size)):
    raise ValueError(f"size={size} is no multiple of {REDUCTION}")
  network = HDNet(**dataclasses.asdict(model))

  def harmonize(composite: jax.Array, mask: jax.Array) -> jax.Array:
    if pixels == "float32":
      output = apply(network, params, composite, mask)
      return blend(output, composite, mask)
    inside = mask > 127
    image, region = normalize(composite), inside.astype(jnp.float32)
    output = apply(network, params, image, region)
    return jnp.where(inside, to_pixels(output), composite)

  if size:
    (batch,), (height, width) = export.symbolic_shape("batch"), size
  else:
    batch, height, width = export.symbolic_shape(
      f"batch, {REDUCTION} * rows, {REDUCTION} * columns",
      constraints=[f"rows * columns >= {QUERY_TILE}"],
    )
  shapes = [
    jax.ShapeDtypeStruct((batch, height, width, channels), jnp.dtype(pixels))
    for channels in (3, 1)
  ]
  return export.export(jax.jit(harmonize), platforms=PLATFORMS)(*shapes)
