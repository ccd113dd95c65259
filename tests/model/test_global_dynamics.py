import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model.global_dynamics import (
  GlobalDynamics,
  SpatialAttention,
  straight_through_argmax,
)

FOREGROUND, BACKGROUND = 0, 1


def make_inputs(rng, channels=5):
  x = rng.normal(size=(2, 4, 3, channels)).astype(np.float32)
  mask = (rng.uniform(size=(2, 4, 3, 1)) < 0.5).astype(np.float32)
  return x, mask


def make_params(rng, channels=5, learned_mask=False) -> dict:
  size = channels * channels
  shapes = {
    "squeeze": {"kernel": (channels, 4), "bias": (4,)},
    "kernel": (2, 2, size),
    "bias": (2, size),
  }
  if learned_mask:
    shapes["guide"] = {"kernel": (channels, 2), "bias": (2,)}
  return jax.tree.map(
    lambda shape: rng.normal(size=shape).astype(np.float32),
    shapes,
    is_leaf=lambda node: isinstance(node, tuple),
  )


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def naive(params, x, mask):
  """Both kernels applied to everything, then blended by the mask."""
  channels = x.shape[-1]
  pooled = x.mean(axis=(1, 2))
  hidden = sigmoid(
    pooled @ params["squeeze"]["kernel"] + params["squeeze"]["bias"]
  )
  results = []
  for region, inputs in ((FOREGROUND, [0, 1]), (BACKGROUND, [2, 3])):
    kernels = hidden[:, inputs] @ params["kernel"][region]
    kernels = kernels + params["bias"][region]
    # Rows are output channels, as in a 1x1 convolution of PyTorch.
    kernels = kernels.reshape(-1, 1, channels, channels)
    results.append(x @ kernels.swapaxes(-1, -2))
  return mask * results[0] + (1 - mask) * results[1]


def test_one_contraction_is_the_naive_form(rng):
  x, mask = make_inputs(rng)
  params = make_params(rng)
  actual = GlobalDynamics().apply({"params": params}, x, mask)
  np.testing.assert_allclose(
    actual, naive(params, x, mask), rtol=1e-4, atol=1e-4
  )


@pytest.mark.parametrize("learned_mask", [False, True])
def test_parameters(rng, learned_mask):
  x = jnp.ones((1, 2, 2, 5))
  init = GlobalDynamics(learned_mask).init
  shapes = jax.eval_shape(init, jax.random.key(0), x, x[..., :1])["params"]
  given = make_params(rng, learned_mask=learned_mask)
  assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, given)


def test_one_pixel_of_two_channels_by_hand():
  # Without a predictor's kernel the 1x1 kernels are its bias.
  params = {
    "squeeze": {"kernel": jnp.zeros((2, 4)), "bias": jnp.zeros(4)},
    "kernel": jnp.zeros((2, 2, 4)),
    "bias": jnp.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]),
  }
  x = jnp.array([1.0, 10.0]).reshape(1, 1, 1, 2)
  apply = GlobalDynamics().apply
  inside = apply({"params": params}, x, jnp.ones((1, 1, 1, 1)))
  outside = apply({"params": params}, x, jnp.zeros((1, 1, 1, 1)))
  # [[1, 2], [3, 4]] @ [1, 10] and [[5, 6], [7, 8]] @ [1, 10].
  assert inside[0, 0, 0].tolist() == [21, 43]
  assert outside[0, 0, 0].tolist() == [65, 87]


def test_straight_through_argmax_is_one_hot_with_the_gradient_of_the_softmax(
  rng,
):
  scores = rng.normal(size=(50, 2)).astype(np.float32)
  cotangent = rng.normal(size=(50, 2)).astype(np.float32)
  y, backward = jax.vjp(straight_through_argmax, scores)
  _, soft_backward = jax.vjp(jax.nn.softmax, scores)
  np.testing.assert_array_equal(y, np.eye(2)[scores.argmax(axis=-1)])
  np.testing.assert_allclose(
    backward(cotangent)[0], soft_backward(cotangent)[0], rtol=1e-5
  )


def test_learned_mask_is_the_larger_guide(rng):
  x, mask = make_inputs(rng)
  params = make_params(rng, learned_mask=True)
  layer = GlobalDynamics(learned_mask=True)

  @jax.jit
  def run(params, mask):
    y, backward = jax.vjp(
      lambda params: layer.apply({"params": params}, x, mask), params
    )
    return y, backward(jnp.ones_like(y))[0]

  actual, gradients = run(params, mask)
  guide = x @ params["guide"]["kernel"] + params["guide"]["bias"]
  learned = (guide[..., :1] > guide[..., 1:]).astype(np.float32)
  assert 0.1 < learned.mean() < 0.9
  np.testing.assert_allclose(
    actual, naive(params, x, learned), rtol=1e-4, atol=1e-4
  )
  # The given mask plays no part; the guide learns.
  np.testing.assert_array_equal(actual, run(params, 1 - mask)[0])
  for leaf in jax.tree.leaves(gradients["guide"]):
    assert np.abs(leaf).min() > 0


def test_spatial_attention_is_the_formula(rng):
  x, mask = make_inputs(rng)
  kernel = rng.normal(size=(5, 5)).astype(np.float32)
  bias = rng.normal(size=5).astype(np.float32)
  params = {"params": {"gate": {"kernel": kernel, "bias": bias}}}
  actual = SpatialAttention().apply(params, x, mask)
  np.testing.assert_allclose(
    actual, sigmoid(x @ kernel + bias) * x, rtol=1e-4, atol=1e-5
  )


@pytest.mark.parametrize("layer", [GlobalDynamics, SpatialAttention])
def test_narrow_dtype(rng, layer):
  x, mask = make_inputs(rng)
  narrow = layer(dtype=jnp.bfloat16)
  params = jax.jit(layer().init)(jax.random.key(0), x, mask)
  y = narrow.apply(params, x.astype(jnp.bfloat16), mask)
  assert y.dtype == jnp.bfloat16
  expected = layer().apply(params, x, mask)
  np.testing.assert_allclose(
    y.astype(jnp.float32), expected, rtol=0.05, atol=2e-3
  )
