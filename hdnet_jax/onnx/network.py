"""The network as an ONNX graph, built node by node.

The graph takes images [B, H, W, 3] and masks [B, H, W, 1] of any batch size.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.architecture import (
  DECODER,
  ENCODER,
  REDUCTION,
  UNNORMALIZED,
  WITH_MGD,
  Size,
)
from hdnet_jax.onnx.graph import Graph, Storage, Tensor
from hdnet_jax.onnx.layers import (
  convolution,
  global_dynamics,
  instance_norm,
  rain,
)
from hdnet_jax.onnx.local_dynamics import local_dynamics

Pixels = Literal["float32", "uint8"]

_END = np.iinfo(np.int64).max


def build(
  params: Mapping,
  model: ModelConfig,
  size: tuple[int, int] | None = None,
  pixels: Pixels = "float32",
  storage: Storage = "float32",
  metadata: Mapping[str, str] | None = None,
) -> bytes:
  """Build an ONNX file: `harmonized` (I_h) of `composite` and `mask`.

  Where the mask is 0, the output is a copy of the composite.

  Args:
    params: of `weights.load`.
    model: the network of `params`; it is computed in float32.
    size: height and width, multiples of 8. None takes every size: the graph
      pads images by their last rows and columns, and masks by 0.
    pixels: "float32", images in -1 to 1 and masks in 0 to 1; or "uint8", images
      in 0 to 255 and masks that are foreground from 128.
    storage: of the parameters in the file.
    metadata: strings for the file's `metadata_props`.

  Raises:
    ValueError: for a size that is no multiple of 8, and unknown networks.
  """
  if size and (min(size) < REDUCTION or any(x % REDUCTION for x in size)):
    raise ValueError(f"size={size} is no multiple of {REDUCTION}")
  g = Graph(storage)
  shape = "batch", *(size or ("height", "width"))
  words = (
    ("0 to 255", "foreground from 128")
    if pixels == "uint8"
    else ("-1 to 1", "0 to 1, 1 is foreground")
  )
  composite = g.input(
    "composite", pixels, (*shape, 3), f"RGB as shown, {words[0]}"
  )
  mask = g.input("mask", pixels, (*shape, 1), words[1])
  # All that follows is NCHW, so that a mask is broadcast to whole planes.
  composite, mask = (
    g.add("Transpose", x, perm=[0, 3, 1, 2]) for x in (composite, mask)
  )

  if pixels == "uint8":
    image = g.cast(composite, np.float32) / 127.5 - 1.0
    inside = g.add("Greater", g.cast(mask, np.float32), 127.5)
    region = g.cast(inside, np.float32)
    output = _network(image, region, params, model, size)
    output = g.cast(g.add("Round", (output + 1.0) * 127.5), np.uint8)
  else:
    inside = mask
    output = _network(composite, mask, params, model, size)
  # Flatten the pixels: otherwise ONNX Runtime blends in NHWC, where a mask is
  # broadcast within each pixel, which took 3 to 7 % of the whole time.
  whole = g.add("Shape", composite)
  composite, output, inside = (
    g.add("Reshape", x, [0, 0, -1]) for x in (composite, output, inside)
  )
  if pixels == "uint8":
    blended = g.add("Where", inside, output, composite)
  else:
    blended = inside * output + (1.0 - inside) * composite
  blended = g.add("Reshape", blended, whole)
  blended = g.add("Transpose", blended, perm=[0, 2, 3, 1])
  g.output(blended, "harmonized", pixels, (*shape, 3), f"RGB, {words[0]}")
  return g.model("hdnet", dict(metadata or {}))


def _network(
  image: Tensor,
  mask: Tensor,
  params: Mapping,
  model: ModelConfig,
  size: tuple[int, int] | None,
) -> Tensor:
  """Add the network in NCHW; without a `size`, pad to multiples of 8."""
  g = image.graph
  if size:
    return _network_of_multiples(image, mask, params, model, size)
  full = g.add("Slice", g.add("Shape", image), [2], [4])
  missing = g.add("Mod", g.add("Neg", full), [REDUCTION])
  pads = g.add("Concat", [0, 0, 0, 0, 0, 0], missing, axis=0)
  image = g.add("Pad", image, pads, mode="edge")
  mask = g.add("Pad", mask, pads)
  output = _network_of_multiples(image, mask, params, model, None)
  return g.add("Slice", output, [0, 0], full, [2, 3])


def _network_of_multiples(
  composite: Tensor,
  mask: Tensor,
  params: Mapping,
  model: ModelConfig,
  size: tuple[int, int] | None,
) -> Tensor:
  """Add the nodes of `HDNet.__call__`; return [B, 3, H, W] in -1 to 1."""
  g = composite.graph
  masks = {1: mask}
  for s in (2, 4, REDUCTION):
    masks[s] = g.add("Slice", mask, [0, 0], [_END, _END], [2, 3], [s, s])

  with g.scope("x0"):
    x = convolution(composite, params["x0"], Size.KEPT)
  skips, reduction = [], 1
  for stage in ENCODER:
    x = g.add("LeakyRelu", x, alpha=0.2)
    skips.append(x)
    with g.scope(stage.name):
      with g.scope("conv"):
        x = convolution(x, params[stage.name]["conv"], stage.size)
      if stage.name != UNNORMALIZED:
        x = instance_norm(x, stage.widths * model.width)
    reduction *= 2 if stage.size is Size.HALVED else 1

  if model.local_dynamics != "none":
    with g.scope("ld"):
      x = local_dynamics(x, masks[reduction], params["ld"], model)

  for stage, skip in zip(DECODER, reversed(skips), strict=True):
    reduction //= 2 if stage.size is Size.DOUBLED else 1
    with g.scope(stage.name):
      with g.scope("conv"):
        x = g.add("Relu", x)
        x = convolution(x, params[stage.name]["conv"], stage.size)
      with g.scope("rain"):
        x = rain(x, masks[reduction], params[stage.name]["rain"])
    x = g.add("Concat", skip, x, axis=1)
    name = f"mgd_{stage.name}"
    if stage.name in WITH_MGD and model.global_dynamics != "none":
      with g.scope(name):
        x = global_dynamics(
          x, masks[reduction], params[name], model.global_dynamics
        )

  with g.scope("out"):
    x = convolution(g.add("Relu", x), params["out"], Size.KEPT)
    return g.add("Tanh", x)
