"""LD, local dynamics: each foreground position borrows from the background.

Every foreground position finds the K background positions with the most
similar features (cosine), mixes them by a softmax over the K similarities, and
fuses this reference with its own feature in a linear layer (Section 3.2 of the
paper). Background positions pass unchanged.

Features are [B, H, W, C], masks [B, H, W, 1] with 1 = foreground. With
N = H * W positions, the search holds [B, N, QUERY_TILE] similarities at a time
and K neighbours a position: no N x N array exists, forward or backward.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hdnet_jax.model.architecture import GROUP, TINY

QUERY_TILE = 256
TILE_ELEMENTS = 2**20  # products that stay in a CPU's cache

Features = Float[Array, "b n c"]
Mask = Bool[Array, "b n"]
Neighbors = tuple[Int[Array, "b n k"], Bool[Array, "b n k"]]


def l2_normalize(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
  """Scale `x` to unit length over its last axis, by 1/sqrt(TINY) at most."""
  squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squared, TINY))


def masked_top_k(
  queries: Features,
  keys: Features,
  query_mask: Mask,
  key_mask: Mask,
  neighbors: int,
  tile: int = QUERY_TILE,
  group: int = GROUP,
) -> Neighbors:
  """Find each query's keys, of `key_mask`, with the largest dot products.

  Only the queries of `query_mask` are searched for, `tile` at a time. Not
  differentiable: the caller recomputes the few products that it keeps.

  Returns:
    The keys' indices, largest product first (of equal ones the first key), and
    whether each is valid. Rows of other queries are not valid, nor are places
    beyond the number of keys.
  """
  queries, keys = jax.lax.stop_gradient((queries, keys))
  batch, count, _ = queries.shape
  arguments = queries, keys, query_mask, key_mask
  if not isinstance(count, int):
    # The size is symbolic, in an export for any size: do without groups.
    return _tiled_top_k(*arguments, neighbors=neighbors, tile=tile, group=1)
  search = functools.partial(_tiled_top_k, neighbors=neighbors, group=group)
  tile = cpu_tile = min(tile, count)
  if isinstance(batch, int):
    most = max(QUERY_TILE // 8, TILE_ELEMENTS // (batch * count))
    cpu_tile = min(tile, most)
  if cpu_tile == tile:
    return search(*arguments, tile=tile)
  return jax.lax.platform_dependent(
    *arguments,
    cpu=functools.partial(search, tile=cpu_tile),
    default=functools.partial(search, tile=tile),
  )


def _tiled_top_k(
  queries: Features,
  keys: Features,
  query_mask: Mask,
  key_mask: Mask,
  neighbors: int,
  tile: int,
  group: int,
) -> Neighbors:
  batch, count, _ = queries.shape
  # Searched queries come first, so that only their tiles are computed.
  places = jnp.cumsum(query_mask, axis=1) - 1
  rows = jnp.pad(
    compact_indices(query_mask, places),
    ((0, 0), (0, -count % tile)),
    constant_values=count,
  )
  padding = (0, 0), (0, -count % group)
  keys = jnp.pad(keys, (*padding, (0, 0)))
  bias = jnp.where(key_mask, 0.0, -jnp.inf)
  bias = jnp.pad(bias, padding, constant_values=-jnp.inf)[..., None]

  def search(number: Int[Array, ""], indices: Array) -> Array:
    start = number * tile
    tile_rows = jax.lax.dynamic_slice_in_dim(rows, start, tile, axis=1)
    tile_queries = jnp.take_along_axis(
      queries, tile_rows[..., None], axis=1, mode="clip"
    )
    products = jnp.einsum(
      "bnc,btc->bnt",
      keys,
      tile_queries,
      preferred_element_type=jnp.float32,
    )
    values, best = grouped_top_k(products + bias, neighbors, group)
    best = jnp.where(values > -jnp.inf, best, count)
    return jax.lax.dynamic_update_slice_in_dim(indices, best, start, axis=1)

  tiles = (jnp.max(jnp.sum(query_mask, axis=1)) + tile - 1) // tile
  indices = jnp.zeros((batch, rows.shape[1], neighbors), jnp.int32)
  indices = jax.lax.fori_loop(0, tiles, search, indices)
  # Back to the order of the positions.
  indices = jnp.take_along_axis(
    indices, jnp.maximum(places, 0)[..., None], axis=1
  )
  valid = query_mask[..., None] & (indices < count)
  return jnp.where(valid, indices, 0), valid


def compact_indices(mask: Mask, places: Int[Array, "b n"]) -> Int[Array, "b n"]:
  """List positions inside the mask, padded by N; `places` has their ranks."""
  _, count = mask.shape

  def compact(mask: Array, places: Array) -> Array:
    places = jnp.where(mask, places, count)
    empty = jnp.full((count,), count, jnp.int32)
    return empty.at[places].set(jnp.arange(count, dtype=jnp.int32), mode="drop")

  return jax.vmap(compact)(mask, places)


def grouped_top_k(
  products: Float[Array, "b n t"], neighbors: int, group: int
) -> tuple[Float[Array, "b t k"], Int[Array, "b t k"]]:
  """Find every query's largest products and their keys.

  `top_k` is slow on long rows. So first find the K groups of keys with the
  largest maxima, which hold the K largest products.
  """
  batch, keys, queries = products.shape
  groups = products.reshape(batch, keys // group, group, queries)
  maxima = jnp.swapaxes(jnp.max(groups, axis=2), 1, 2)
  _, chosen = jax.lax.top_k(maxima, min(neighbors, keys // group))
  # Sort, so that of equal products the first is taken.
  chosen = jnp.swapaxes(jnp.sort(chosen, axis=-1), 1, 2)[:, :, None]
  members = chosen * group + jnp.arange(group)[:, None]
  candidates = jnp.take_along_axis(groups, chosen, axis=1)
  members, candidates = (
    jnp.swapaxes(x.reshape(batch, -1, queries), 1, 2)
    for x in (members, candidates)
  )
  values, places = jax.lax.top_k(candidates, neighbors)
  return values, jnp.take_along_axis(members, places, axis=2)


def gather(x: Features, indices: Int[Array, "b n k"]) -> Array:
  """Return the rows of `x` at `indices`, [B, N, K, C]."""
  batch, count, neighbors = indices.shape
  rows = jnp.take_along_axis(x, indices.reshape(batch, -1, 1), axis=1)
  return rows.reshape(batch, count, neighbors, x.shape[-1])


def paper_reference(
  x: Features,
  foreground: Float[Array, "b n 1"],
  neighbors: int,
  tile: int = QUERY_TILE,
) -> Features:
  """Mix the K most similar background features, as the paper does.

  The reference is 0 where there is no background. References of background
  positions have no meaning.
  """
  directions = l2_normalize(x.astype(jnp.float32))
  # Positions on the edge of a soft mask are queries, but not keys: each would
  # be most similar to itself.
  inside = foreground[..., 0] > 0
  neighbors = min(neighbors, x.shape[1])  # a tiny image has fewer positions
  indices, valid = masked_top_k(
    directions, directions, inside, ~inside, neighbors, tile
  )
  similarities = jnp.einsum(
    "bnc,bnkc->bnk", directions, gather(directions, indices)
  )
  # Finite, so that a softmax over nothing valid has a gradient too.
  weights = jax.nn.softmax(jnp.where(valid, similarities, -1e9)) * valid
  return jnp.einsum(
    "bnk,bnkc->bnc", weights.astype(x.dtype), gather(x, indices)
  )


def official_reference(
  x: Features,
  foreground: Float[Array, "b n 1"],
  neighbors: int,
  tile: int = QUERY_TILE,
) -> Features:
  """Compute what the authors' code computes for K = 1; kept for parity.

  Products are those of masked features over all positions, so that foreground
  columns (zero vectors) can win. The softmax is over the image's positions
  instead of the neighbours, which scales the reference to almost nothing.
  """
  if neighbors != 1:
    raise ValueError(
      "local_dynamics='official' is meaningful for neighbors=1 only (the "
      f"authors' gather scrambles more), not {neighbors}; use 'paper'"
    )
  wide = x.astype(jnp.float32)
  queries, support = wide * foreground, wide * (1 - foreground)
  inside = foreground[..., 0] > 0
  # Queries of the background are zero: any key will do.
  every = jnp.ones_like(inside)
  indices, _ = masked_top_k(queries, support, inside, every, 1, tile)
  best = gather(support, indices)[:, :, 0]
  weights = jax.nn.softmax(jnp.sum(queries * best, axis=-1), axis=-1)
  return (weights[..., None] * best).astype(x.dtype)


REFERENCES = {"paper": paper_reference, "official": official_reference}


class LocalDynamics(nn.Module):
  """LD with K = `neighbors`; `reference` computes what a position borrows."""

  reference: Callable[[Features, Array, int], Features]
  neighbors: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self, x: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"]
  ) -> Float[Array, "b h w c"]:
    b, h, w, c = x.shape
    flat, foreground = x.reshape(b, h * w, c), mask.reshape(b, h * w, 1)
    reference = self.reference(flat, foreground, self.neighbors)
    fused = nn.Dense(
      c,
      kernel_init=nn.initializers.normal(stddev=0.02),
      dtype=self.dtype,
      name="fuse",
    )(jnp.concatenate([reference, flat], axis=-1))
    foreground = foreground.astype(fused.dtype)
    fused = foreground * fused + (1 - foreground) * flat
    return fused.reshape(b, h, w, c)
