"""LD, local dynamics: each foreground position borrows from the background.

Every foreground position looks for the K background positions whose features
are most like its own (cosine similarity), mixes them with a softmax over the K
similarities into a reference, and fuses reference and feature with a linear
layer (Section 3.2 of the paper). Background positions pass unchanged.

Features are [B, H, W, C], masks [B, H, W, 1] with 1 = foreground. With
N = H * W positions, the search holds [B, N, QUERY_TILE] similarities at a time
and K neighbours a position: no N x N array exists, forward or backward. Only
the foreground searches.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hdnet_jax.model.platforms import by_platform

QUERY_TILE = 256
TILE_ELEMENTS = 2**20  # of the products on a CPU
GROUP = 64  # keys
TINY = 1e-6  # floor of a squared norm: a zero vector is like nothing

Features = Float[Array, "b n c"]
Score = Callable[[Array, Array], Array]


def unit(x: Float[Array, "... c"]) -> Float[Array, "... c"]:
  """`x` with unit length over its last axis; short vectors stay short."""
  squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squared, TINY))


def nearest(
  queries: Features,
  keys: Features,
  wanted: Bool[Array, "b n"],
  allowed: Bool[Array, "b n"],
  neighbors: int,
) -> tuple[Int[Array, "b n k"], Bool[Array, "b n k"]]:
  """For every wanted query, the allowed keys of largest dot product.

  Returns their indices, largest first (of equal ones the first), and whether
  each is a key at all: where fewer than `neighbors` keys are allowed the rest
  is padding, and so is every row that is not wanted. Not differentiable, and
  needs no gradient: the caller recomputes the few products it keeps.

  The wanted queries come first, so that only their tiles are searched.
  """
  queries, keys = jax.lax.stop_gradient((queries, keys))
  batch, count, _ = queries.shape
  if not isinstance(count, int):
    # An export for any size: it has no groups.
    return _nearest(
      queries, keys, wanted, allowed, neighbors, tile=QUERY_TILE, group=1
    )
  tile = cpu_tile = min(QUERY_TILE, count)
  if isinstance(batch, int):
    # The products stay in a CPU's cache.
    most = max(QUERY_TILE // 8, TILE_ELEMENTS // (batch * count))
    cpu_tile = min(tile, most)
  search = functools.partial(_nearest, neighbors=neighbors, group=GROUP)
  if cpu_tile == tile:
    return search(queries, keys, wanted, allowed, tile=tile)
  return by_platform(
    functools.partial(search, tile=cpu_tile),
    functools.partial(search, tile=tile),
    *(queries, keys, wanted, allowed),
  )


def _nearest(
  queries: Features,
  keys: Features,
  wanted: Bool[Array, "b n"],
  allowed: Bool[Array, "b n"],
  neighbors: int,
  tile: int,
  group: int,
) -> tuple[Int[Array, "b n k"], Bool[Array, "b n k"]]:
  """`nearest` by `tile` queries at a time, and keys in groups of `group`."""
  batch, count, _ = queries.shape
  # A wanted position's place in the search.
  places = jnp.cumsum(wanted, axis=1) - 1
  rows = jnp.pad(
    _listed(wanted, places), ((0, 0), (0, -count % tile)), constant_values=count
  )
  keys = jnp.pad(keys, ((0, 0), (0, -count % group), (0, 0)))
  bias = jnp.pad(
    jnp.where(allowed, 0.0, -jnp.inf),
    ((0, 0), (0, -count % group)),
    constant_values=-jnp.inf,
  )[..., None]

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
    values, best = _largest(products + bias, neighbors, group)
    best = jnp.where(values > -jnp.inf, best, count)
    return jax.lax.dynamic_update_slice_in_dim(indices, best, start, axis=1)

  tiles = (jnp.max(jnp.sum(wanted, axis=1)) + tile - 1) // tile
  indices = jnp.zeros((batch, rows.shape[1], neighbors), jnp.int32)
  indices = jax.lax.fori_loop(0, tiles, search, indices)
  # From the order of the search back to that of the positions.
  indices = jnp.take_along_axis(
    indices, jnp.maximum(places, 0)[..., None], axis=1
  )
  found = wanted[..., None] & (indices < count)
  return jnp.where(found, indices, 0), found


def _listed(
  wanted: Bool[Array, "b n"], places: Int[Array, "b n"]
) -> Int[Array, "b n"]:
  """The indices of the wanted positions, in order; then `n`, which is none."""
  _, count = wanted.shape

  def one(wanted, places):
    places = jnp.where(wanted, places, count)
    empty = jnp.full((count,), count, jnp.int32)
    return empty.at[places].set(jnp.arange(count, dtype=jnp.int32), mode="drop")

  return jax.vmap(one)(wanted, places)


def _largest(
  products: Float[Array, "b n t"], neighbors: int, group: int
) -> tuple[Float[Array, "b t k"], Int[Array, "b t k"]]:
  """Every query's largest products and their keys.

  `top_k` twice, as it is slow in long rows: the K largest are in the K groups
  of keys with the largest maxima, which one vectorized pass finds.
  """
  batch, keys, queries = products.shape
  groups = products.reshape(batch, keys // group, group, queries)
  maxima = jnp.swapaxes(jnp.max(groups, axis=2), 1, 2)
  _, chosen = jax.lax.top_k(maxima, min(neighbors, keys // group))
  # In order, so that of equal products the first is taken.
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
  """The rows of `x` at `indices`: [B, N, K, C]."""
  batch, count, neighbors = indices.shape
  rows = jnp.take_along_axis(x, indices.reshape(batch, -1, 1), axis=1)
  return rows.reshape(batch, count, neighbors, x.shape[-1])


def paper_reference(
  x: Features, foreground: Float[Array, "b n 1"], neighbors: int
) -> Features:
  """The paper's form: K nearest background features by cosine similarity.

  Positions without any background to look at (an all-foreground mask) get a
  zero reference. Values at background positions are not used by anyone.
  """
  directions = unit(x.astype(jnp.float32))
  # A soft mask's fringe looks for a reference too, and is none: every position
  # of it would be the one that is most like itself.
  inside = foreground[..., 0] > 0
  background = ~inside
  # A tiny image has fewer positions than K asks for.
  neighbors = min(neighbors, x.shape[1])
  indices, found = nearest(
    directions, directions, inside, background, neighbors
  )
  similarities = jnp.einsum(
    "bnc,bnkc->bnk", directions, gather(directions, indices)
  )
  # Finite where nothing was found, so that softmax has a gradient there too.
  weights = jax.nn.softmax(jnp.where(found, similarities, -1e9)) * found
  return jnp.einsum(
    "bnk,bnkc->bnc", weights.astype(x.dtype), gather(x, indices)
  )


def official_reference(
  x: Features, foreground: Float[Array, "b n 1"], neighbors: int
) -> Features:
  """What the authors' code computes for K = 1; kept for parity.

  Dot products between masked features over all positions, so that foreground
  columns (zero vectors) can win; and a softmax over the image's positions, not
  over neighbours, which scales the reference to almost nothing.
  """
  if neighbors != 1:
    raise ValueError(
      "local_dynamics='official' is meaningful for neighbors=1 only (the "
      f"authors' gather scrambles more), not {neighbors}; use 'paper'"
    )
  wide = x.astype(jnp.float32)
  queries, support = wide * foreground, wide * (1 - foreground)
  inside = foreground[..., 0] > 0
  # Queries of the background are zero vectors: whatever they find, their
  # product is 0, and the blend does not use it.
  indices, _ = nearest(queries, support, inside, jnp.ones_like(inside), 1)
  best = gather(support, indices)[:, :, 0]
  weights = jax.nn.softmax(jnp.sum(queries * best, axis=-1), axis=-1)
  return (weights[..., None] * best).astype(x.dtype)


REFERENCES = {"paper": paper_reference, "official": official_reference}


class LocalDynamics(nn.Module):
  """LD with K = `neighbors`; `reference` finds what a position borrows."""

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
