"""LD as nodes of an ONNX graph; see `model.local_dynamics`.

A loop runs over the images of the batch, because each has its own number F of
foreground positions. Inside it, x is [N, C] with N = H * W positions. Only the
F foreground positions are queries. A second loop takes them in tiles, so that
few products exist at a time.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.architecture import GROUP, TINY
from hdnet_jax.onnx.graph import Tensor
from hdnet_jax.onnx.layers import dense

TILE = 64, 256  # least and most queries of a tile
_TILE_PRODUCTS = 2**22  # 16 MB a tile, and more if TILE[0] queries need it
_NOTHING = -1e9  # product of a padding key, far below all others


class _Keys(NamedTuple):
  """The keys to search: M, in whole groups; the last ones may be padding."""

  positions: Tensor  # [M], N for padding
  features: Tensor  # [M, C + 1], the last column is added to a product


def local_dynamics(
  x: Tensor, mask: Tensor, params: Mapping, model: ModelConfig
) -> Tensor:
  """Add `LocalDynamics` to [B, C, H, W] and a mask of [B, 1, H, W]."""
  g = x.graph
  flat = g.add("Transpose", g.add("Reshape", x, [0, 0, -1]), perm=[0, 2, 1])
  foreground = g.add("Reshape", mask, [0, -1, 1])  # [B, N, 1]

  def fuse(flat: Tensor, foreground: Tensor) -> Tensor:
    inside = g.add("Greater", g.add("Squeeze", foreground, [1]), 0.0)
    queries = _where(inside)
    own, weight = (_rows(array, queries) for array in (flat, foreground))
    if model.local_dynamics == "official":
      reference = _official_reference(flat, foreground, queries)
    else:
      outside = _where(g.add("Not", inside))
      reference = _paper_reference(flat, queries, outside, model.neighbors)
    with g.scope("fuse"):
      both = g.add("Concat", reference, own, axis=1)
      fused = dense(both, params["fuse"])
    fused = weight * fused + (1.0 - weight) * own
    return g.add("ScatterND", flat, g.add("Unsqueeze", queries, [1]), fused)

  dtypes = np.float32, np.float32
  fused = g.scan(fuse, flat, foreground, dtypes=dtypes, output=np.float32)
  fused = g.add("Transpose", fused, perm=[0, 2, 1])
  return g.add("Reshape", fused, g.add("Shape", x))


def _paper_reference(
  x: Tensor, queries: Tensor, background: Tensor, neighbors: int
) -> Tensor:
  """Return what the queries borrow, [F, C]."""
  g = x.graph
  squared = g.add("ReduceSum", x * x, [1])
  directions = x / g.add("Sqrt", g.add("Max", squared, TINY))
  keys = _make_keys(directions, background, neighbors)
  found = _search(directions, queries, keys, neighbors)
  chosen = _chosen(x, keys, found)
  if neighbors == 1:
    return g.add("Squeeze", chosen, [1])
  # The product of a padding key is -1e9, so that its weight is 0 beside others.
  columns = g.add("Unsqueeze", _as_queries(_rows(directions, queries)), [2])
  similarities = _rows(keys.features, found) @ columns
  weights = g.add("Softmax", similarities, axis=1)  # [F, K, 1]
  return g.add("ReduceSum", weights * chosen, [1], keepdims=0)


def _official_reference(
  x: Tensor, foreground: Tensor, queries: Tensor
) -> Tensor:
  """Return the best of the masked features, weighed as in the authors' code."""
  g = x.graph
  masked, support = x * foreground, x * (1.0 - foreground)
  # All positions. ONNX Runtime refuses a Range whose end it knows beforehand.
  everywhere = _where(g.add("Greater", g.add("Squeeze", foreground, [1]), -1.0))
  keys = _make_keys(support, everywhere, 1)
  found = _search(masked, queries, keys, 1)
  best = g.add("Squeeze", _chosen(support, keys, found), [1])
  own = g.add("ReduceSum", _rows(masked, queries) * best, [1], keepdims=0)
  # The softmax is over all positions; those of the background have 0.
  zeros = g.add("ConstantOfShape", _length(x))
  every = g.add("ScatterND", zeros, g.add("Unsqueeze", queries, [1]), own)
  weights = _rows(g.add("Softmax", every, axis=0), queries)
  return g.add("Unsqueeze", weights, [1]) * best


def _make_keys(features: Tensor, positions: Tensor, neighbors: int) -> _Keys:
  """Return the features at `positions`, padded to whole groups of keys."""
  g = features.graph
  count = _length(positions)
  least = g.add("Max", count, [neighbors])
  missing = least + g.add("Mod", g.add("Neg", least), [GROUP]) - count
  below = g.add("Concat", [0], missing, axis=0)
  nowhere = g.add("Squeeze", _length(features))
  # Without this column, zero padding would win over keys of negative products.
  added = g.add("Pad", g.add("ConstantOfShape", count), below, _NOTHING)
  rows = _rows(features, positions)
  rows = g.add("Pad", rows, g.add("Concat", [0], below, [0], axis=0))
  return _Keys(
    g.add("Pad", positions, below, nowhere),
    g.add("Concat", rows, g.add("Unsqueeze", added, [1]), axis=1),
  )


def _search(
  features: Tensor, queries: Tensor, keys: _Keys, neighbors: int
) -> Tensor:
  """Return the indices of the keys with the largest products, [F, K], of M."""
  g = features.graph
  count = _length(queries)
  most = g.add("Div", [_TILE_PRODUCTS], _length(keys.positions))
  most = g.add("Min", g.add("Max", most, [TILE[0]]), [TILE[1]])
  # Tiles are of equal length, so that the last has little padding. There is at
  # least one, of one query: an empty loop may not work everywhere.
  tiles = g.add("Max", _divide_up(count, most), [1])
  tile = g.add("Max", _divide_up(count, tiles), [1])
  padding = g.add("Concat", [0], tiles * tile - count, axis=0)
  rows = g.add("Pad", queries, padding)
  rows = g.add("Reshape", rows, g.add("Concat", tiles, tile, axis=0))

  def search(rows: Tensor) -> Tensor:
    tile = _as_queries(_rows(features, rows))
    products = keys.features @ g.add("Transpose", tile, perm=[1, 0])
    return _grouped_top_k(products, _length(rows), neighbors)

  found = g.scan(search, rows, dtypes=[np.int64], output=np.int64)
  found = g.add("Reshape", found, [-1, neighbors])
  return g.add("Slice", found, [0], count, [0])


def _grouped_top_k(products: Tensor, tile: Tensor, neighbors: int) -> Tensor:
  """Return the rows of the K largest of each column of [M, T], as [T, K]."""
  g = products.graph
  shape = g.add("Concat", [-1, GROUP], tile, axis=0)
  groups = g.add("Reshape", products, shape)
  maxima = g.add("ReduceMax", groups, axes=[1], keepdims=0)
  chosen = _largest(maxima, neighbors)
  if neighbors > 1:
    # Sorted, so that of equal products the first is taken.
    size = _length(chosen)
    chosen, _ = g.add_many("TopK", 2, chosen, size, axis=0, largest=0)
  shape = g.add("Concat", [1, GROUP], tile, axis=0)
  indices = g.add("Expand", g.add("Unsqueeze", chosen, [1]), shape)
  candidates = g.add("GatherElements", groups, indices, axis=0)
  candidates = g.add("Reshape", candidates, g.add("Concat", [-1], tile, axis=0))
  places = _largest(candidates, neighbors)
  group = g.add("GatherElements", chosen, places / [GROUP], axis=0)
  found = group * [GROUP] + g.add("Mod", places, [GROUP])
  return g.add("Transpose", found, perm=[1, 0])


def _largest(values: Tensor, count: int) -> Tensor:
  """Return the rows of each column's `count` largest, or of all if fewer."""
  g = values.graph
  if count == 1:
    return g.add("ArgMax", values, axis=0)
  most = g.add("Min", _length(values), [count])
  return g.add_many("TopK", 2, values, most, axis=0)[1]


def _chosen(x: Tensor, keys: _Keys, found: Tensor) -> Tensor:
  """Return the rows of x that were found, [F, K, C], and 0 for padding."""
  padded = x.graph.add("Pad", x, [0, 0, 1, 0])
  return _rows(padded, _rows(keys.positions, found))


def _as_queries(features: Tensor) -> Tensor:
  """Append a column of 1, so that products include the keys' last column."""
  return features.graph.add("Pad", features, [0, 0, 0, 1], 1.0)


def _rows(x: Tensor, indices: Tensor) -> Tensor:
  return x.graph.add("Gather", x, indices, axis=0)


def _where(inside: Tensor) -> Tensor:
  return inside.graph.add("Squeeze", inside.graph.add("NonZero", inside), [0])


def _length(x: Tensor) -> Tensor:
  """Return the length of the first axis, as an array of one number."""
  return x.graph.add("Slice", x.graph.add("Shape", x), [0], [1])


def _divide_up(x: Tensor, divisor: Tensor) -> Tensor:
  return (x + divisor - [1]) / divisor
