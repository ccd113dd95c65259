import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.model.hdnet import (
  GLOBAL_DYNAMICS,
  LOCAL_DYNAMICS,
  HDNet,
  blend,
  mask_pyramid,
)

WIDTH = 2
FAST = (
  ("paper", "mask"),
  ("official", "learned_mask"),
  ("none", "spatial_attention"),
  ("paper", "none"),
)


def shapes(*size: int) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
  """A composite and a mask without values, of size [batch, height, width]."""
  return (
    jax.ShapeDtypeStruct((*size, 3), jnp.float32),
    jax.ShapeDtypeStruct((*size, 1), jnp.float32),
  )


def parameter_shapes(model: HDNet) -> dict:
  image, mask = shapes(1, 8, 8)
  key = jax.random.key(0)
  return jax.eval_shape(model.init, key, image, mask)["params"]


def make_params(model: HDNet) -> dict:
  """Every leaf random: larger than at the start, biases included."""
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: 0.2 * rng.normal(size=leaf.shape).astype(np.float32),
    parameter_shapes(model),
  )


def make_images(rng, *size: int) -> tuple[np.ndarray, np.ndarray]:
  composite = rng.uniform(-1, 1, (*size, 3)).astype(np.float32)
  mask = (rng.uniform(size=(*size, 1)) < 0.4).astype(np.float32)
  return composite, mask


@functools.cache
def make_network(dtype: str = "float32"):
  """A function of composite and mask, compiled once a size."""
  model = HDNet(WIDTH, dtype=dtype)
  params = make_params(model)
  return jax.jit(functools.partial(model.apply, {"params": params}))


@pytest.mark.parametrize(
  ("local_dynamics", "global_dynamics", "hdnet", "lite"),
  [
    ("none", "none", 9_764_259, 611_691),
    ("paper", "none", 9_895_587, 619_947),
    ("none", "spatial_attention", 9_850_723, 617_179),
    ("none", "mask", 10_282_159, 644_407),
    ("none", "learned_mask", 10_283_061, 644_637),
    ("paper", "spatial_attention", 9_982_051, 625_435),
    # With the guide, the 10.41 and 0.65 million of the paper.
    ("paper", "learned_mask", 10_414_389, 652_893),
    ("paper", "mask", 10_413_487, 652_663),
    ("official", "mask", 10_413_487, 652_663),
  ],
)
def test_parameter_counts(local_dynamics, global_dynamics, hdnet, lite):
  for width, expected in ((32, hdnet), (8, lite)):
    model = HDNet(width, local_dynamics, global_dynamics=global_dynamics)
    leaves = jax.tree.leaves(parameter_shapes(model))
    assert sum(leaf.size for leaf in leaves) == expected


def test_defaults_are_the_papers():
  assert HDNet() == HDNet(32, "paper", 1, "mask", "float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("global_dynamics", GLOBAL_DYNAMICS)
def test_parameters_and_gradients_are_float32(dtype, global_dynamics):
  model = HDNet(WIDTH, global_dynamics=global_dynamics, dtype=dtype)
  params = parameter_shapes(model)

  def energy(params, composite, mask):
    output = model.apply({"params": params}, composite, mask)
    return jnp.sum(jnp.square(output))

  value, gradients = jax.eval_shape(
    jax.value_and_grad(energy), params, *shapes(1, 16, 16)
  )
  assert value.dtype == jnp.float32
  for leaf in (*jax.tree.leaves(params), *jax.tree.leaves(gradients)):
    assert leaf.dtype == jnp.float32


def test_bfloat16_is_close_to_float32(rng):
  composite, mask = make_images(rng, 2, 32, 32)
  wide = np.asarray(make_network()(composite, mask))
  narrow = np.asarray(make_network("bfloat16")(composite, mask))
  assert wide.dtype == narrow.dtype == jnp.float32
  assert np.isfinite(narrow).all()
  assert np.std(wide) > 0.2
  difference = np.abs(wide - narrow)
  assert 1e-3 < difference.max() < 0.1


def test_bfloat16_is_what_is_computed_in():
  model = HDNet(WIDTH, dtype="bfloat16")
  params = parameter_shapes(model)
  apply = functools.partial(model.apply, capture_intermediates=True)
  output, state = jax.eval_shape(apply, {"params": params}, *shapes(1, 16, 16))
  assert output.dtype == jnp.float32
  modules = dict(state["intermediates"])
  del modules["__call__"]  # the output
  for name, module in modules.items():
    for leaf in jax.tree.leaves(module):
      assert leaf.dtype == jnp.bfloat16, name


@pytest.mark.parametrize("size", [(8, 8), (16, 24), (40, 64)])
def test_multiples_of_8(rng, size):
  composite, mask = make_images(rng, 1, *size)
  output = np.asarray(make_network()(composite, mask))
  assert output.shape == composite.shape
  assert np.isfinite(output).all()
  assert np.std(output) > 0.1
  assert np.abs(output).max() <= 1


IMAGE, MASK = (1, 8, 8, 3), (1, 8, 8, 1)


@pytest.mark.parametrize(
  ("composite", "mask", "options", "message"),
  [
    *(
      ((1, h, w, 3), (1, h, w, 1), {}, f"multiples of 8, not {h}x{w}")
      for h, w in ((8, 12), (12, 8), (20, 20), (7, 8), (4, 4))
    ),
    ((1, 8, 8, 4), MASK, {}, "composite is"),
    ((1, 8, 8, 1), MASK, {}, "composite is"),
    ((8, 8, 3), (8, 8, 1), {}, "composite is"),
    (IMAGE, (1, 8, 8, 3), {}, "mask is"),
    (IMAGE, (1, 8, 8), {}, "mask is"),
    (IMAGE, (8, 8, 1), {}, "mask is"),
    ((1, 8, 16, 3), (1, 16, 8, 1), {}, "mask is"),
    ((2, 8, 8, 3), MASK, {}, "mask is"),
    (IMAGE, MASK, {"local_dynamics": "cosine"}, "'cosine' is none of"),
    (IMAGE, MASK, {"global_dynamics": "guide"}, "'guide' is none of"),
    (IMAGE, MASK, {"neighbors": 0}, "neighbors and width"),
    (IMAGE, MASK, {"width": 0}, "neighbors and width"),
    (
      *(IMAGE, MASK),
      *({"local_dynamics": "official", "neighbors": 3}, "neighbors=1 only"),
    ),
  ],
)
def test_what_is_refused(composite, mask, options, message):
  model = HDNet(**{"width": WIDTH} | options)
  inputs = (jax.ShapeDtypeStruct(s, jnp.float32) for s in (composite, mask))
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(model.init, jax.random.key(0), *inputs)


def test_mask_pyramid_is_strided():
  mask = jnp.arange(16 * 24).reshape(1, 16, 24, 1)
  pyramid = mask_pyramid(mask)
  assert pyramid.keys() == {16, 8, 4, 2}
  for height, level in pyramid.items():
    step = 16 // height
    expected = [
      [24 * i + j for j in range(0, 24, step)] for i in range(0, 16, step)
    ]
    np.testing.assert_array_equal(level[0, :, :, 0], expected)
  assert pyramid[2][0, :, :, 0].tolist() == [[0, 8, 16], [192, 200, 208]]


def make_hard_cases(rng) -> tuple[np.ndarray, np.ndarray]:
  """Empty, full, one pixel, vanishing at 1/8, and an image without contrast."""
  composite, _ = make_images(rng, 5, 16, 16)
  mask = np.zeros((5, 16, 16, 1), np.float32)
  mask[1] = 1
  mask[2, 8, 8] = 1
  mask[3, 2:8, 2:8] = 1
  mask[4, :9] = 1
  composite[4] = 0.5
  areas = {
    height: level.sum(axis=(1, 2, 3)).tolist()
    for height, level in mask_pyramid(mask).items()
  }
  assert areas[16][:4] == [0, 256, 1, 36]
  assert areas[2][:4] == [0, 4, 1, 0]
  return composite, mask


@pytest.mark.parametrize(
  ("local_dynamics", "global_dynamics"),
  [
    # By default every option once.
    pytest.param(ld, gd, marks=() if (ld, gd) in FAST else pytest.mark.slow)
    for ld in LOCAL_DYNAMICS
    for gd in GLOBAL_DYNAMICS
  ],
)
def test_hard_cases_are_finite(rng, local_dynamics, global_dynamics):
  neighbors = 3 if local_dynamics == "paper" else 1
  model = HDNet(WIDTH, local_dynamics, neighbors, global_dynamics)
  composite, mask = make_hard_cases(rng)
  cotangent = rng.normal(size=composite.shape).astype(np.float32)

  @jax.jit
  def run(params, composite):
    output, backward = jax.vjp(
      lambda params, composite: model.apply(
        {"params": params}, composite, mask
      ),
      params,
      composite,
    )
    return output, backward(cotangent)

  output, gradients = jax.device_get(run(make_params(model), composite))
  assert np.isfinite(output).all()
  for leaf in jax.tree.leaves(gradients):
    assert np.isfinite(leaf).all()
    assert np.any(leaf)


def test_blend_keeps_the_background_bit_for_bit(rng):
  composite, mask = make_images(rng, 2, 8, 8)
  output, _ = make_images(rng, 2, 8, 8)
  harmonized = np.asarray(jax.jit(blend)(output, composite, mask))
  inside = np.broadcast_to(mask == 1, output.shape)
  np.testing.assert_array_equal(harmonized[~inside], composite[~inside])
  np.testing.assert_array_equal(harmonized[inside], output[inside])


def test_images_of_a_batch_do_not_meet(rng):
  composite, mask = make_images(rng, 2, 16, 24)
  network = make_network()
  both = np.asarray(network(composite, mask))
  single = [network(composite[i : i + 1], mask[i : i + 1]) for i in (0, 1)]
  # Sums run in another order.
  np.testing.assert_allclose(both, np.concatenate(single), rtol=0, atol=1e-4)
  assert np.abs(both[0] - both[1]).max() > 0.1


def test_start():
  model = HDNet(4, global_dynamics="learned_mask")
  image = np.ones((1, 8, 8, 3), np.float32)
  mask = np.ones((1, 8, 8, 1), np.float32)
  init = jax.jit(model.init)
  params, again, other = (
    jax.device_get(init(jax.random.key(seed), image, mask)["params"])
    for seed in (0, 0, 1)
  )
  leaves = jax.tree_util.tree_leaves_with_path(params)
  for (path, leaf), same, different in zip(
    leaves, jax.tree.leaves(again), jax.tree.leaves(other), strict=True
  ):
    name = path[-1].key
    np.testing.assert_array_equal(leaf, same)
    if name == "kernel":
      # Within five standard errors of N(0, 0.02).
      assert abs(np.std(leaf) / 0.02 - 1) < 5 / np.sqrt(2 * leaf.size), path
      assert abs(np.mean(leaf)) < 5 * 0.02 / np.sqrt(leaf.size), path
      assert not np.array_equal(leaf, different)
    else:
      assert name == "bias" or name.endswith(("gamma", "beta")), path
      assert not np.any(leaf), path
