import dataclasses
import functools

import jax
import numpy as np
import pytest

from hdnet_jax.composites import Layers, make_composites, with_composites
from hdnet_jax.config import CHANGES, CompositesConfig, only

COUNT, SIZE = 6, 16


@pytest.fixture
def layers(rng) -> Layers:
  photo = rng.integers(60, 200, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
  alpha = np.zeros((COUNT, SIZE, SIZE, 1), np.uint8)
  alpha[:, 3:12, 4:13] = 255
  alpha[:, 3, 4:13] = 64  # an edge that is a quarter the object's
  return Layers(photo, photo, alpha)


@pytest.fixture
def keys():
  return jax.random.split(jax.random.key(0), COUNT)


@functools.cache
def compiled(config: CompositesConfig):
  return jax.jit(
    lambda keys, layers, *rest: make_composites(keys, layers, config, *rest)
  )


def table(rng) -> np.ndarray:
  return rng.integers(0, 256, (3, 3, 3, 3, 3), dtype=np.uint8)


def test_nothing_is_the_photo_in_both(keys, layers):
  result = compiled(only("nothing"))(keys, layers)
  np.testing.assert_array_equal(result.composite, layers.background)
  np.testing.assert_array_equal(result.real, layers.background)
  # The mask is where the object covers more than half.
  np.testing.assert_array_equal(result.mask, layers.alpha > 127)


@pytest.mark.parametrize(
  "change",
  [
    pytest.param(c, marks=pytest.mark.slow if c == "distribution" else ())
    for c in CHANGES
    if c != "nothing"
  ],
)
def test_each_change_is_of_the_object_alone(change, keys, layers, rng):
  config, maps = only(change, color_maps="maps.npz"), table(rng)
  make = compiled(config)
  result = make(keys, layers, maps)
  assert result.composite.dtype == np.uint8
  outside = np.broadcast_to(layers.alpha == 0, result.real.shape)
  np.testing.assert_array_equal(result.real, layers.background)
  np.testing.assert_array_equal(result.composite[outside], result.real[outside])
  changed = np.asarray(result.composite != result.real).any((1, 2, 3))
  assert changed.all()
  # The same keys make the same composites, others make others.
  again = make(keys, layers, maps)
  np.testing.assert_array_equal(result.composite, again.composite)
  other = make(keys[::-1], layers, maps)
  assert (np.asarray(result.composite) != other.composite).any()


def test_color_maps_of_a_file_are_constants_of_the_step(keys, layers, rng):
  config, maps = only("color_map", color_maps="maps.npz"), table(rng)
  shapes = jax.eval_shape(
    lambda keys: make_composites(keys, layers, config, maps), keys
  )
  assert shapes.composite.shape == layers.background.shape


def test_edges_are_a_mixture(keys, layers):
  hard = layers._replace(alpha=np.where(layers.alpha > 0, np.uint8(255), 0))
  config = only("expert")
  soft, full = (
    np.asarray(compiled(config)(keys, x).composite, int) for x in (layers, hard)
  )
  photo = layers.background.astype(int)
  edge = np.s_[:, 3, 4:13]
  mixed = photo[edge] + 64 / 255 * (full[edge] - photo[edge])
  np.testing.assert_allclose(soft[edge], mixed, atol=1)


def test_a_truth_is_developed_everywhere(keys, layers):
  config = dataclasses.replace(only("nothing"), as_it_is=0.0, dull=1.0)
  result = compiled(config)(keys, layers)
  np.testing.assert_array_equal(result.composite, result.real)
  assert np.asarray(result.real).mean() < layers.background.mean() - 5


def test_an_expert_brings_a_dull_truth_back(keys, layers):
  config = dataclasses.replace(
    only("expert", least_amount=1.0), as_it_is=0.0, dull=1.0
  )
  result = compiled(config)(keys, layers)
  inside = np.asarray(layers.alpha[..., 0] == 255)
  photo = layers.object[inside].mean()
  truth = np.asarray(result.real)[inside].mean()
  composite = np.asarray(result.composite)[inside].mean()
  assert truth < photo - 5
  assert composite > truth + 10


def test_donors_are_the_next_example(keys, layers):
  photo = layers.object.copy()
  photo[1] = photo[1] // 4  # a dark one
  layers = layers._replace(background=photo, object=photo)
  config = only("covariance", least_amount=1.0)
  result = np.asarray(compiled(config)(keys, layers).composite)
  inside = layers.alpha[2, ..., 0] == 255
  # `roll` gives the second's colours to the third.
  assert abs(result[2][inside].mean() - photo[1][inside].mean()) < 5
  donors = (photo[:1].repeat(COUNT, 0), layers.alpha)
  result = np.asarray(compiled(config)(keys, layers, None, donors).composite)
  assert abs(result[2][inside].mean() - photo[0][inside].mean()) < 5


def test_a_batch_of_one_takes_the_colours_of_its_background(keys, layers):
  photo = layers.object[:1].copy()
  photo[:, 3:12, 4:13] //= 3
  single = Layers(photo, photo, layers.alpha[:1])
  config = only("covariance", least_amount=1.0)
  result = np.asarray(compiled(config)(keys[:1], single).composite)
  inside = single.alpha[0, ..., 0] == 255
  around = single.alpha[0, ..., 0] == 0
  assert abs(result[0][inside].mean() - photo[0][around].mean()) < 5


def test_only_the_named_changes_are_used(keys, layers):
  both = dataclasses.replace(
    only("nothing"), covariance=1.0, reinhard=0.0, least_amount=1.0
  )
  keys = jax.random.split(jax.random.key(1), COUNT)
  result = np.asarray(compiled(both)(keys, layers).composite, int)
  alone = np.asarray(
    compiled(only("covariance", least_amount=1.0))(keys, layers).composite, int
  )
  unchanged = np.abs(result - layers.background).max((1, 2, 3)) == 0
  transferred = np.abs(result - alone).max((1, 2, 3)) <= 1
  assert np.all(unchanged | transferred)
  assert unchanged.any()
  assert transferred.any()


def test_jpeg_marks_composites_alone(keys, layers):
  result = compiled(only("nothing", jpeg=1.0))(keys, layers)
  np.testing.assert_array_equal(result.real, layers.background)
  differing = np.asarray(result.composite) != np.asarray(result.real)
  assert differing.any((1, 2, 3)).all()
  assert np.abs(np.asarray(result.composite, int) - result.real).mean() < 20


def test_random_keys_are_used_once(keys, layers):
  with jax.debug_key_reuse(True):
    config = CompositesConfig(jpeg=0.5)
    jax.jit(lambda *args: make_composites(*args, config))(keys, layers)


def test_the_default_composites_are_about_as_hard_as_real_ones(rng, layers):
  # The mean over iHarmony4's test composites is 1387.
  keys = jax.random.split(jax.random.key(0), 64 * COUNT)
  many = Layers(*(np.tile(layer, (64, 1, 1, 1)) for layer in layers))
  result = compiled(CompositesConfig())(keys, many)
  squared = np.square(np.asarray(result.composite, float) - result.real)
  mask = np.asarray(result.mask, float)
  fmse = (squared * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)))
  assert 300 < fmse.mean() < 3000


def test_a_batch_gets_composites_unless_it_has_them(keys, layers):
  batch = {**layers._asdict(), "index": np.arange(COUNT)}
  result = with_composites(batch, keys, only("nothing"))
  assert batch.items() <= result.items()
  assert {"composite", "real", "mask"} <= result.keys()
  batch = {name: np.zeros(1) for name in ("composite", "real", "mask")}
  assert with_composites(batch, keys, CompositesConfig()) == batch
