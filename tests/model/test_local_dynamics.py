import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.model.local_dynamics import (
  REFERENCES,
  LocalDynamics,
  l2_normalize,
  masked_top_k,
  official_reference,
  paper_reference,
)

CHANNELS = 6

paper = jax.jit(paper_reference, static_argnums=2)
official = jax.jit(official_reference, static_argnums=2)


def make_features(rng, *shape) -> np.ndarray:
  return rng.normal(size=(*shape, CHANNELS)).astype(np.float32)


def make_foreground(rng, batch: int, count: int) -> np.ndarray:
  return (rng.uniform(size=(batch, count, 1)) < 0.4).astype(np.float32)


def dense_paper_reference(x, foreground, neighbors):
  """The paper's form by one similarity matrix; needs K background positions."""
  squared = jnp.sum(x * x, axis=-1, keepdims=True)
  directions = x / jnp.sqrt(jnp.maximum(squared, 1e-6))
  similarities = jnp.einsum("bqc,bkc->bqk", directions, directions)
  similarities = jnp.where(foreground.swapaxes(1, 2) > 0, -2, similarities)
  values, indices = jax.lax.top_k(similarities, neighbors)
  weights = jax.nn.softmax(values)
  rows = x[jnp.arange(len(x))[:, None, None], indices]
  return jnp.einsum("bqk,bqkc->bqc", weights, rows)


def dense_official_reference(x, foreground, neighbors):
  """The authors' code for K = 1."""
  assert neighbors == 1
  queries, support = x * foreground, x * (1 - foreground)
  products = jnp.einsum("bqc,bkc->bqk", queries, support)
  best = jnp.argmax(products, axis=-1)
  weights = jax.nn.softmax(jnp.max(products, axis=-1), axis=-1)
  return (
    weights[..., None]
    * x[jnp.arange(len(x))[:, None], best]
    * (1 - jnp.take_along_axis(foreground, best[..., None], axis=1))
  )


DENSE = {"paper": dense_paper_reference, "official": dense_official_reference}


def run(reference, x, foreground, neighbors, cotangent):
  """Foreground rows of the reference, and the gradient of the features."""

  @jax.jit
  def forward_and_backward(x):
    y, backward = jax.vjp(
      lambda x: reference(x, foreground, neighbors) * foreground, x
    )
    return y, *backward(cotangent)

  return forward_and_backward(x)


@pytest.mark.parametrize(
  ("form", "neighbors", "count", "tile"),
  [
    # The last of five tiles is padded.
    ("paper", 1, 77, 16),
    ("paper", 3, 77, 16),
    ("paper", 9, 77, 16),
    ("official", 1, 77, 16),
    # Whole tiles, less than a tile, and the last of two tiles padded.
    ("paper", 3, 80, 16),
    ("paper", 3, 77, 256),
    ("paper", 1, 400, 256),
  ],
)
def test_tiled_search_is_the_dense_one(rng, form, neighbors, count, tile):
  x = make_features(rng, 2, count)
  foreground = make_foreground(rng, 2, count)
  cotangent = make_features(rng, 2, count)
  args = (x, foreground, neighbors, cotangent)
  tiled = functools.partial(REFERENCES[form], tile=tile)
  actual, actual_gradient = run(tiled, *args)
  expected, expected_gradient = run(DENSE[form], *args)
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)
  np.testing.assert_allclose(
    actual_gradient, expected_gradient, rtol=0, atol=2e-5
  )


def test_a_tile_of_queries_is_searched_at_a_time():
  x = jnp.ones((1, 77, CHANNELS))
  mask = x[..., 0] > 0
  search = functools.partial(masked_top_k, neighbors=1, tile=16)
  jaxpr = jax.make_jaxpr(lambda x: search(x, x, mask, ~mask))(x)
  assert (1, 128, 16) in shapes_of(jaxpr.jaxpr)  # 77 keys: groups are filled


@pytest.mark.parametrize("neighbors", [1, 3, 9])
@pytest.mark.parametrize("group", [4, 64])
def test_neighbors_are_in_order_and_the_first_of_equal_ones(
  rng, neighbors, group
):
  # Few different features: most products are equal to others.
  x = rng.integers(-1, 2, size=(2, 90, 2)).astype(np.float32)
  key_mask = rng.uniform(size=(2, 90)) < 0.5
  indices, valid = masked_top_k(
    x, x, ~key_mask, key_mask, neighbors, group=group
  )
  products = np.einsum("bqc,bkc->bqk", x, x)
  products = np.where(key_mask[:, None], products, -np.inf)
  expected = np.argsort(-products, axis=-1, kind="stable")[..., :neighbors]
  np.testing.assert_array_equal(
    np.asarray(indices)[~key_mask], expected[~key_mask]
  )
  np.testing.assert_array_equal(
    valid, np.broadcast_to(~key_mask[..., None], valid.shape)
  )


def test_similarity_is_the_cosine():
  # The long feature has the larger dot product, the short one the direction.
  x = jnp.array([[[1.0, 0.0], [0.1, 0.0], [9.0, 9.0]]])
  foreground = jnp.array([[[1.0], [0.0], [0.0]]])
  assert paper(x, foreground, 1)[0, 0].tolist() == [
    pytest.approx(0.1),
    0,
  ]
  # The code's form takes the long one, scaled by a softmax over positions.
  weight = np.exp(9) / (np.exp(9) + 2)
  np.testing.assert_allclose(
    official(x, foreground, 1)[0, 0], [9 * weight] * 2, rtol=1e-5
  )


def test_weights_are_a_softmax_over_the_neighbors():
  x = jnp.array([[[2.0, 0.0], [0.0, 3.0], [5.0, 0.0], [-1.0, 0.0]]])
  foreground = jnp.array([[[1.0], [0.0], [0.0], [0.0]]])
  a, b = np.exp(1) / (np.exp(1) + 1), 1 / (np.exp(1) + 1)
  np.testing.assert_allclose(
    paper(x, foreground, 2)[0, 0], [5 * a, 3 * b], rtol=1e-5
  )


def test_fewer_background_positions_than_neighbors(rng):
  # In one image of two, and with more than one tile.
  tiled = functools.partial(paper_reference, tile=16)
  x = make_features(rng, 2, 40)
  cotangent = make_features(rng, 2, 40)
  foreground = np.zeros((2, 40, 1), np.float32)
  foreground[:, :25] = 1
  foreground[1] = 1
  foreground[1, [3, 17]] = 0
  actual = run(tiled, x, foreground, 9, cotangent)
  for image, background in ((0, 9), (1, 2)):
    part = slice(image, image + 1)
    expected = run(
      dense_paper_reference,
      x[part],
      foreground[part],
      background,
      cotangent[part],
    )
    for a, e in zip(actual, expected, strict=True):
      np.testing.assert_allclose(a[part], e, rtol=0, atol=1e-5)


def test_no_nan_is_made_where_nothing_is_found(rng):
  # XLA takes NaN * False for 0 and would hide one from the results.
  x = make_features(rng, 1, 4)
  foreground = np.ones((1, 4, 1), np.float32)
  with jax.debug_nans(True):
    reference, backward = jax.vjp(
      lambda x: paper_reference(x, foreground, 3), x
    )
    backward(x)
  np.testing.assert_array_equal(reference, 0)


def test_fewer_positions_than_neighbors(rng):
  x = make_features(rng, 1, 4)
  foreground = np.array([[[1], [0], [0], [0]]], np.float32)
  np.testing.assert_allclose(
    paper(x, foreground, 9)[:, 0],
    jax.jit(dense_paper_reference, static_argnums=2)(x, foreground, 3)[:, 0],
    rtol=1e-5,
  )


def test_l2_normalize(rng):
  x = make_features(rng, 5) * 1e-2
  expected = x / np.linalg.norm(x, axis=-1, keepdims=True)
  np.testing.assert_allclose(l2_normalize(x), expected, rtol=1e-5)
  gradient = jax.grad(lambda x: l2_normalize(x).sum())(jnp.zeros(3))
  np.testing.assert_array_equal(l2_normalize(jnp.zeros(3)), 0)
  assert np.isfinite(gradient).all()


def make_masks() -> np.ndarray:
  """Empty, full, one pixel, all but one pixel; 5x4."""
  masks = np.zeros((4, 5, 4, 1), np.float32)
  masks[1] = 1
  masks[2, 3, 2] = 1
  masks[3] = 1 - masks[2]
  return masks


@pytest.mark.parametrize(
  ("form", "neighbors"), [("paper", 1), ("paper", 3), ("official", 1)]
)
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_extreme_masks(rng, form, neighbors, scale):
  layer = LocalDynamics(REFERENCES[form], neighbors)
  masks = make_masks()
  # Zero vectors have no direction: the worst case of a cosine.
  x = scale * make_features(rng, 4, 5, 4)
  cotangent = make_features(rng, 4, 5, 4)
  kernel = rng.normal(size=(2 * CHANNELS, CHANNELS)).astype(np.float32)
  bias = rng.normal(size=CHANNELS).astype(np.float32)

  @jax.jit
  def forward_and_backward(params, x):
    y, backward = jax.vjp(
      lambda params, x: layer.apply({"params": params}, x, masks), params, x
    )
    return y, backward(cotangent)

  params = {"fuse": {"kernel": kernel, "bias": bias}}
  y, gradients = forward_and_backward(params, x)
  for leaf in jax.tree.leaves((y, gradients)):
    assert np.isfinite(leaf).all()
  background = np.broadcast_to(masks == 0, y.shape)
  np.testing.assert_array_equal(np.asarray(y)[background], x[background])
  assert not np.allclose(np.asarray(y)[~background], x[~background])
  # Without background there is nothing to borrow.
  alone = x[1] @ kernel[CHANNELS:] + bias
  np.testing.assert_allclose(y[1], alone, rtol=0, atol=1e-5)


def test_fuse_takes_the_reference_first(rng):
  layer = LocalDynamics(lambda x, foreground, neighbors: 10 * x + neighbors, 7)
  x = make_features(rng, 2, 3, 4)
  mask = make_foreground(rng, 2, 12).reshape(2, 3, 4, 1)
  kernel = rng.normal(size=(2 * CHANNELS, CHANNELS)).astype(np.float32)
  params = {"fuse": {"kernel": kernel, "bias": np.ones(CHANNELS, np.float32)}}
  fused = np.concatenate([10 * x + 7, x], axis=-1) @ kernel + 1
  np.testing.assert_allclose(
    layer.apply({"params": params}, x, mask),
    np.where(mask, fused, x),
    rtol=1e-4,
    atol=1e-4,
  )


def test_official_refuses_more_neighbors(rng):
  x = make_features(rng, 1, 4, 4)
  with pytest.raises(ValueError, match=r"neighbors=1 only.* not 3"):
    LocalDynamics(official_reference, 3).init(jax.random.key(0), x, x[..., :1])


def shapes_of(jaxpr) -> set[tuple[int, ...]]:
  """Shapes of all that `jaxpr` and the jaxprs inside it compute."""
  shapes = set()
  for equation in jaxpr.eqns:
    shapes |= {variable.aval.shape for variable in equation.outvars}
    for value in jax.tree.leaves(
      equation.params, is_leaf=lambda value: hasattr(value, "eqns")
    ):
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        shapes |= shapes_of(inner)
  return shapes


def largest(function, *args) -> int:
  """Elements of the largest array of `function`'s value and gradients."""
  energy = jax.value_and_grad(
    lambda *args: jnp.sum(jnp.square(function(*args)))
  )
  jaxpr = jax.make_jaxpr(energy)(*args)
  return max(int(np.prod(shape)) for shape in shapes_of(jaxpr.jaxpr))


@pytest.mark.parametrize(
  ("form", "neighbors"), [("paper", 1), ("paper", 9), ("official", 1)]
)
def test_no_square_array_of_positions_exists(form, neighbors):
  positions = 64 * 64  # of a 512x512 image at an eighth of its size
  x, foreground = jnp.ones((1, positions, 1)), jnp.ones((1, positions, 1))
  dense = functools.partial(DENSE[form], neighbors=neighbors)
  assert largest(dense, x, foreground) >= positions**2
  model = HDNet(1, form, neighbors)
  image = jax.ShapeDtypeStruct((1, 512, 512, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, 512, 512, 1), jnp.float32)
  params = jax.eval_shape(model.init, jax.random.key(0), image, mask)
  assert largest(model.apply, params, image, mask) < positions**2


@pytest.mark.parametrize("neighbors", [1, 3])
def test_a_soft_fringe_borrows_from_the_background_only(rng, neighbors):
  # Not from the fringe, where each position is most similar to itself.
  x = rng.normal(size=(1, 12, 4)).astype(np.float32)
  mask = np.zeros((1, 12, 1), np.float32)
  mask[0, :5, 0] = (0.01, 0.3, 0.49, 0.5, 1.0)
  reference = np.asarray(paper(x, mask, neighbors))
  # What is in the fringe or the object changes nobody else's reference.
  for place in range(5):
    changed = x.copy()
    changed[0, place] = 100 * rng.normal(size=4)
    again = paper(changed, mask, neighbors)
    others = [i for i in range(5) if i != place]
    np.testing.assert_array_equal(reference[0, others], again[0, others])
  if neighbors == 1:
    for place in range(5):
      distances = np.abs(x[0] - reference[0, place]).max(axis=1)
      assert distances.argmin() >= 5
      assert distances.min() < 1e-6
