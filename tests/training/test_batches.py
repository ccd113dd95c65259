"""The batches of a run: cached on the devices, and shown to a person."""

import dataclasses
import itertools

import jax
import numpy as np

from hdnet_jax.config import MeshConfig
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.devices import make_mesh
from hdnet_jax.training.batches import (
  cached_batches,
  first_examples,
  run_batches,
)
from hdnet_jax.training.loop import train_and_evaluate
from hdnet_jax.training.step import composites_of_step


def take(config, count, start=0, devices=1):
  mesh = make_mesh(MeshConfig(devices))
  source = open_source(config.data, "train")
  batches = cached_batches(config, source, mesh, start)
  return [jax.device_get(batch) for batch in itertools.islice(batches, count)]


def with_variants(config, count, **options):
  data = dataclasses.replace(config.data, cache_variants=count, **options)
  return dataclasses.replace(config, data=data)


def test_cached_batches_visit_what_the_pipeline_visits(config, make_stepper):
  batches = make_stepper(config).batches
  for cached, batch in zip(take(config, 4), batches, strict=False):
    np.testing.assert_array_equal(cached["index"], batch["index"])
    assert {n: (a.shape, a.dtype) for n, a in cached.items()} == {
      n: (a.shape, a.dtype) for n, a in batch.items()
    }


def test_a_later_start_and_more_devices_give_the_same(config):
  whole = take(config, 4)
  for later in (take(config, 2, start=2), take(config, 2, 2, devices=8)):
    for batch, expected in zip(later, whole[2:], strict=True):
      for name, array in batch.items():
        np.testing.assert_array_equal(array, expected[name])


def test_variants_are_placed_apart(config):
  size = config.batch_size
  count = 3 * len(open_source(config.data, "train"))
  batches = take(with_variants(config, 3), -(-count // size))
  index = np.concatenate([batch["index"] for batch in batches])[:count]
  alpha = np.concatenate([batch["alpha"] for batch in batches])[:count]
  assert set(np.bincount(index)) == {3}
  different = [
    len(np.unique(alpha[index == example], axis=0)) for example in set(index)
  ]
  assert max(different) == 3


def test_the_cache_of_half_size_batches_is_freed(config):
  config = with_variants(config, 5, cache="device")
  source, mesh = open_source(config.data, "train"), make_mesh(config.mesh)
  batches = run_batches(config, source, mesh, half_size=1)
  held = []
  for _ in range(2):
    next(batches)
    shapes = {array.shape for array in jax.live_arrays()}
    held.append(
      {s[1] for s in shapes if len(s) == 4 and s[0] == 5 * len(source)}
    )
  assert held == [{16}, {32}]


def test_a_run_with_a_cache_resumes_bitwise(config, tmp_path):
  config = dataclasses.replace(
    with_variants(config, 2, cache="device"),
    epochs=1.0,
    save_every=1,
    eval_every=100,
  )
  whole = train_and_evaluate(config, tmp_path / "whole")
  half = dataclasses.replace(config, epochs=0.5)
  train_and_evaluate(half, tmp_path / "parts")
  parts = train_and_evaluate(config, tmp_path / "parts")
  jax.tree.map(
    np.testing.assert_array_equal,
    jax.device_get(whole.params),
    jax.device_get(parts.params),
  )


def test_first_examples_are_what_the_steps_see(config, make_stepper, state):
  """The second step's, from the state that training starts with."""
  size = config.batch_size
  shown = list(itertools.islice(first_examples(config), 2 * size))
  batches = make_stepper(config).batches
  second = list(itertools.islice(batches, 2))[1]
  expected = composites_of_step(config.data)(second, state.key, 1)
  for place, example in enumerate(shown[size:]):
    assert set(example) == {"composite", "mask", "real"}
    for name, image in example.items():
      # Compiled and not compiled may round apart.
      difference = image.astype(int) - np.asarray(expected[name][place], int)
      assert np.abs(difference).max() <= 1
