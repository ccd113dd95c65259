"""The layers of `hdnet_jax.model` as nodes of an ONNX graph.

Features are [B, C, H, W], masks [B, 1, H, W]. Parameters have the names that
they have in a weights file. LD is in `onnx.local_dynamics`.
"""

from collections.abc import Mapping

import numpy as np

from hdnet_jax.model.architecture import EPSILON, REGIONS, Size
from hdnet_jax.onnx.graph import Tensor


def convolution(x: Tensor, params: Mapping, size: Size) -> Tensor:
  """Add a convolution; kernels are [height, width, in, out]."""
  g, kernel, bias = x.graph, params["kernel"], params.get("bias")
  pads = [1, 1, 1, 1]
  if size is Size.DOUBLED:
    # ConvTranspose flips its kernel, so flip it before.
    flipped = kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    weight = g.parameter("kernel", flipped, axis=1)
    return g.add("ConvTranspose", x, weight, pads=pads, strides=[2, 2])
  weight = g.parameter("kernel", kernel.transpose(3, 2, 0, 1))
  rest = [] if bias is None else [g.parameter("bias", bias)]
  strides = [2, 2] if size is Size.HALVED else [1, 1]
  return g.add("Conv", x, weight, *rest, pads=pads, strides=strides)


def dense(x: Tensor, params: Mapping) -> Tensor:
  """Add a linear layer of [..., in]."""
  kernel = x.graph.parameter("kernel", params["kernel"], axis=1)
  return x @ kernel + x.graph.parameter("bias", params["bias"])


def _pointwise(x: Tensor, params: Mapping) -> Tensor:
  """Add a linear layer of the channels of [B, C, H, W]."""
  g = x.graph
  weight = g.parameter("kernel", params["kernel"].T[:, :, None, None])
  return g.add("Conv", x, weight, g.parameter("bias", params["bias"]))


def _sum(x: Tensor) -> Tensor:
  """Add the sum over the pixels: row by row, which rounds less than at once."""
  g = x.graph
  return g.add("ReduceSum", g.add("ReduceSum", x, [3]), [2])


def _mean(x: Tensor) -> Tensor:
  """Add the mean over the pixels, row by row as the sum."""
  g = x.graph
  return g.add("ReduceMean", g.add("ReduceMean", x, axes=[3]), axes=[2])


def instance_norm(x: Tensor, channels: int) -> Tensor:
  g = x.graph
  # ONNX Runtime rounds more, the farther the mean is from 0: subtract it.
  x = x - _mean(x)
  scale = g.parameter("one", np.ones(channels))
  shift = g.parameter("zero", np.zeros(channels))
  return g.add("InstanceNormalization", x, scale, shift, epsilon=EPSILON)


def rain(x: Tensor, region: Tensor, params: Mapping) -> Tensor:
  """Add `norm.RAIN`."""
  g = x.graph

  def learned(name: str) -> Tensor:
    return g.parameter(name, params[name].reshape(-1, 1, 1))

  def statistics(inside: Tensor) -> tuple[Tensor, Tensor]:
    count = _sum(inside) + EPSILON
    mean = _sum(x * inside) / count
    off = x - mean
    variance = _sum(off * off * inside) / count
    return mean, g.add("Sqrt", variance + EPSILON)

  rest = 1.0 - region
  mean_f, std_f = statistics(region)
  mean_b, std_b = statistics(rest)
  gain_f = learned("foreground_gamma") + 1.0
  scale_f = std_b / std_f * gain_f
  shift_f = mean_b * gain_f + learned("foreground_beta") - mean_f * scale_f
  scale_b = (learned("background_gamma") + 1.0) / std_b
  shift_b = learned("background_beta") - mean_b * scale_b
  # Blend both regions by one product: fewer arrays of the features' size.
  regions = g.add("Reshape", g.add("Concat", region, rest, axis=1), [0, 2, -1])
  scale, shift = (
    g.add("Reshape", g.add("Concat", inside, outside, axis=3), [0, -1, 2])
    for inside, outside in ((scale_f, scale_b), (shift_f, shift_b))
  )
  flat = g.add("Reshape", x, [0, 0, -1])
  y = flat * (scale @ regions) + shift @ regions
  return g.add("Reshape", y, g.add("Shape", x))


def global_dynamics(
  x: Tensor, mask: Tensor, params: Mapping, kind: str
) -> Tensor:
  """Add `GlobalDynamics` or `SpatialAttention`."""
  g = x.graph
  if kind == "spatial_attention":
    with g.scope("gate"):
      return g.add("Sigmoid", _pointwise(x, params["gate"])) * x
  if kind == "learned_mask":
    with g.scope("guide"):
      scores = _pointwise(x, params["guide"])
    first, second = g.add_many("Split", 2, scores, axis=1)
    # The larger score; the first of two equal ones.
    mask = g.cast(g.add("GreaterOrEqual", first, second), np.float32)

  channels = params["squeeze"]["kernel"].shape[0]
  pooled = g.add("Reshape", _mean(x), [0, channels])
  with g.scope("squeeze"):
    hidden = g.add("Sigmoid", dense(pooled, params["squeeze"]))
  hidden = g.add("Reshape", hidden, [0, REGIONS, 1, -1])
  bias = params["bias"][:, None]
  kernels = hidden @ g.parameter("kernel", params["kernel"])
  kernels = kernels + g.parameter("bias", bias)  # [B, region, 1, out * in]
  kernels = g.add("Reshape", kernels, [0, REGIONS, channels, channels])
  inside, outside = (
    g.add("Squeeze", kernel, [1])
    for kernel in g.add_many("Split", REGIONS, kernels, axis=1)
  )
  # The two results blended by the mask, with fewer arrays of their size.
  flat, region = (g.add("Reshape", y, [0, 0, -1]) for y in (x, mask))
  y = outside @ flat + region * ((inside - outside) @ flat)
  return g.add("Reshape", y, g.add("Shape", x))
