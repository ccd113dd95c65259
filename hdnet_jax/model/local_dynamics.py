"""LD, local dynamics: each foreground position borrows from the background.

Every foreground position looks for the K background positions whose features
are most like its own (cosine similarity), mixes them with a softmax over the K
similarities into a reference, and fuses reference and feature with a linear
layer (Section 3.2 of the paper). Background positions pass unchanged.

Features are [B, H, W, C], masks [B, H, W, 1] with 1 = foreground. With
N = H * W positions, the search holds [B, QUERY_TILE, N] similarities at a time
and K neighbours a position: no N x N array exists, forward or backward.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

QUERY_TILE = 256
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
  allowed: Bool[Array, "b n"],
  neighbors: int,
) -> tuple[Int[Array, "b n k"], Bool[Array, "b n k"]]:
  """For every query, the keys of largest dot product among the allowed ones.

  Returns their indices, and whether each is a key at all: where fewer than
  `neighbors` keys are allowed the rest is padding. Not differentiable, and
  needs no gradient: the caller recomputes the few products it keeps.
  """
  queries, keys = jax.lax.stop_gradient((queries, keys))
  batch, count, channels = queries.shape
  tile = min(QUERY_TILE, count)
  tiles = -(-count // tile)
  queries = jnp.pad(queries, ((0, 0), (0, tiles * tile - count), (0, 0)))
  queries = queries.reshape(batch, tiles, tile, channels).swapaxes(0, 1)

  def search(tile_queries: Float[Array, "b t c"]):
    products = jnp.einsum(
      "btc,bnc->btn",
      tile_queries,
      keys,
      preferred_element_type=jnp.float32,
    )
    products = jnp.where(allowed[:, None, :], products, -jnp.inf)
    values, indices = jax.lax.top_k(products, neighbors)
    return indices, values > -jnp.inf

  indices, found = jax.lax.map(search, queries)
  flat = (batch, tiles * tile, neighbors)
  indices = indices.swapaxes(0, 1).reshape(flat)[:, :count]
  found = found.swapaxes(0, 1).reshape(flat)[:, :count]
  return indices, found


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
  background = foreground[..., 0] < 0.5
  # A tiny image has fewer positions than K asks for.
  neighbors = min(neighbors, x.shape[1])
  indices, found = nearest(directions, directions, background, neighbors)
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
  everywhere = jnp.ones(x.shape[:2], bool)
  indices, _ = nearest(queries, support, everywhere, 1)
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
