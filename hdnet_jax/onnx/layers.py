"""The layers of `hdnet_jax.model` as nodes of an ONNX graph.

Features are [B, C, H, W], masks [B, 1, H, W]; LD's are [B, N, C] with N = H * W
positions. Parameters have the names that they have in a weights file.

LD's search holds N^2 float32 similarities an image: 4 MB at 256x256 pixels,
64 MB at 512x512, 1 GB at 1024x1024. A graph of a fixed, larger size computes
them in parts of 64 MB.
"""

from collections.abc import Mapping

import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.architecture import EPSILON, REGIONS, TINY, Size
from hdnet_jax.onnx.graph import Tensor

_PART = 2**24  # similarities that a graph of a fixed size holds at once
_NOTHING = -4.0  # below every similarity, which are cosines


def convolution(x: Tensor, params: Mapping, size: Size) -> Tensor:
  """Add a convolution; kernels are [height, width, in, out]."""
  g, kernel, bias = x.graph, params["kernel"], params.get("bias")
  pads = [1, 1, 1, 1]
  if size is Size.DOUBLED:
    # The operator's kernel is the one that it flips.
    flipped = kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    weight = g.parameter("kernel", flipped, axis=1)
    return g.add("ConvTranspose", x, weight, pads=pads, strides=[2, 2])
  weight = g.parameter("kernel", kernel.transpose(3, 2, 0, 1))
  rest = [] if bias is None else [g.parameter("bias", bias)]
  strides = [2, 2] if size is Size.HALVED else [1, 1]
  return g.add("Conv", x, weight, *rest, pads=pads, strides=strides)


def _dense(x: Tensor, params: Mapping) -> Tensor:
  """Add a linear layer of [..., in]."""
  kernel = x.graph.parameter("kernel", params["kernel"], axis=1)
  return x @ kernel + x.graph.parameter("bias", params["bias"])


def _pointwise(x: Tensor, params: Mapping) -> Tensor:
  """Add a linear layer of the channels of [B, C, H, W]."""
  g = x.graph
  weight = g.parameter("kernel", params["kernel"].T[:, :, None, None])
  return g.add("Conv", x, weight, g.parameter("bias", params["bias"]))


def instance_norm(x: Tensor, channels: int) -> Tensor:
  g = x.graph
  scale = g.parameter("one", np.ones(channels))
  shift = g.parameter("zero", np.zeros(channels))
  return g.add("InstanceNormalization", x, scale, shift, epsilon=EPSILON)


def rain(x: Tensor, region: Tensor, params: Mapping) -> Tensor:
  """Add `norm.RAIN`."""
  g = x.graph

  def learned(name: str) -> Tensor:
    return g.parameter(name, params[name].reshape(-1, 1, 1))

  def total(values: Tensor) -> Tensor:
    return g.add("ReduceSum", values, [2, 3])

  def statistics(inside: Tensor) -> tuple[Tensor, Tensor]:
    count = total(inside) + EPSILON
    mean = total(x * inside) / count
    off = x - mean
    variance = total(off * off * inside) / count
    return mean, g.add("Sqrt", variance + EPSILON)

  rest = 1.0 - region
  mean_f, std_f = statistics(region)
  mean_b, std_b = statistics(rest)
  gain_f = learned("foreground_gamma") + 1.0
  scale_f = std_b / std_f * gain_f
  shift_f = mean_b * gain_f + learned("foreground_beta") - mean_f * scale_f
  scale_b = (learned("background_gamma") + 1.0) / std_b
  shift_b = learned("background_beta") - mean_b * scale_b
  scale = region * scale_f + rest * scale_b
  shift = region * shift_f + rest * shift_b
  return x * scale + shift


def local_dynamics(
  x: Tensor,
  mask: Tensor,
  params: Mapping,
  model: ModelConfig,
  positions: int | None,
) -> Tensor:
  """Add `LocalDynamics`; `positions` is H * W if it is known."""
  g = x.graph
  flat = g.add("Transpose", g.add("Reshape", x, [0, 0, -1]), perm=[0, 2, 1])
  foreground = g.add("Reshape", mask, [0, -1, 1])  # [B, N, 1]
  reference = (
    _official_reference(flat, foreground, positions)
    if model.local_dynamics == "official"
    else _paper_reference(flat, foreground, model.neighbors, positions)
  )
  with g.scope("fuse"):
    both = g.add("Concat", reference, flat, axis=2)
    fused = _dense(both, params["fuse"])
  fused = foreground * fused + (1.0 - foreground) * flat
  fused = g.add("Transpose", fused, perm=[0, 2, 1])
  return g.add("Reshape", fused, g.add("Shape", x))


def _paper_reference(
  x: Tensor, foreground: Tensor, neighbors: int, positions: int | None
) -> Tensor:
  g = x.graph
  squared = g.add("ReduceSum", x * x, [2])
  directions = x / g.add("Sqrt", g.add("Max", squared, TINY))
  mask = g.add("Reshape", foreground, [0, 1, -1])
  background = g.add("GreaterOrEqual", g.add("Neg", mask), 0.0)
  if neighbors == 1:
    # Its weight is 1, or 0 where the image has no background.
    _, indices = _top_k(directions, directions, background, [1], positions)
    valid = g.add("ReduceMax", g.cast(background, np.float32), axes=[2])
    return _gather(x, indices) * valid
  if positions:
    count = [min(neighbors, positions)]
  else:
    # A tiny image has fewer positions than K asks for.
    all_positions = g.add("Slice", g.add("Shape", x), [1], [2])
    count = g.add("Min", all_positions, [neighbors])
  values, indices = _top_k(directions, directions, background, count, positions)
  valid = g.add("Greater", values, _NOTHING / 2)
  weights = g.add("Softmax", g.add("Where", valid, values, -1e9), axis=-1)
  weights = weights * g.cast(valid, np.float32)
  channels = g.add("Slice", g.add("Shape", x), [2], [3])
  shape = g.add("Concat", g.add("Shape", indices), channels, axis=0)
  rows = g.add("Reshape", _gather(x, indices), shape)  # [B, N, K, C]
  mixed = g.add("Unsqueeze", weights, [2]) @ rows
  return g.add("Squeeze", mixed, [2])


def _official_reference(
  x: Tensor, foreground: Tensor, positions: int | None
) -> Tensor:
  g = x.graph
  queries, support = x * foreground, x * (1.0 - foreground)
  _, indices = _top_k(queries, support, None, [1], positions)
  best = _gather(support, indices)
  similarities = g.add("ReduceSum", queries * best, [2])  # [B, N, 1]
  return g.add("Softmax", similarities, axis=1) * best


def _top_k(
  queries: Tensor,
  keys: Tensor,
  key_mask: Tensor | None,
  neighbors: list[int] | Tensor,
  positions: int | None,
) -> tuple[Tensor | None, Tensor]:
  """Return the largest products of `key_mask`'s keys and their indices.

  Both are [B, N, K]; products are None for K = 1, as ArgMax has none: unlike
  TopK it stays on the GPU in browsers.
  """
  g = queries.graph
  columns = g.add("Transpose", keys, perm=[0, 2, 1])

  def search(rows: Tensor) -> list[Tensor]:
    products = rows @ columns
    if key_mask is not None:
      products = g.add("Where", key_mask, products, _NOTHING)
    if neighbors == [1]:
      return [g.add("ArgMax", products, axis=2)]
    return g.add_many("TopK", 2, products, neighbors, axis=2)

  if not positions or positions**2 <= _PART:
    outputs = search(queries)
  else:
    step = max(1, _PART // positions)
    parts = [
      search(g.add("Slice", queries, [start], [start + step], [1]))
      for start in range(0, positions, step)
    ]
    outputs = [
      g.add("Concat", *part, axis=1) for part in zip(*parts, strict=True)
    ]
  return (None, *outputs) if len(outputs) == 1 else tuple(outputs)


def _gather(x: Tensor, indices: Tensor) -> Tensor:
  """Return the rows of [B, N, C] at [B, N, K], as [B, N * K, C]."""
  g = x.graph
  indices = g.add("Reshape", indices, [0, -1, 1])
  return g.add("GatherND", x, indices, batch_dims=1)


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
  pooled = g.add("Reshape", g.add("GlobalAveragePool", x), [0, channels])
  with g.scope("squeeze"):
    hidden = g.add("Sigmoid", _dense(pooled, params["squeeze"]))
  hidden = g.add("Reshape", hidden, [0, REGIONS, 1, -1])
  bias = params["bias"][:, None]
  kernels = hidden @ g.parameter("kernel", params["kernel"])
  kernels = kernels + g.parameter("bias", bias)  # [B, region, 1, out * in]
  # Region and input are one axis: both kernels are applied and blended at once.
  kernels = g.add("Reshape", kernels, [0, REGIONS, channels, channels])
  kernels = g.add("Transpose", kernels, perm=[0, 2, 1, 3])
  kernels = g.add("Reshape", kernels, [0, channels, -1])
  masked = g.add("Concat", mask * x, (1.0 - mask) * x, axis=1)
  y = kernels @ g.add("Reshape", masked, [0, REGIONS * channels, -1])
  return g.add("Reshape", y, g.add("Shape", x))
