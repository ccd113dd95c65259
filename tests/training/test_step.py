"""The optimization step: devices, donation, the schedule."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from hdnet_jax import devices
from hdnet_jax.config import CompositesConfig, MeshConfig, TrainingConfig
from hdnet_jax.data.pipeline import Reader, open_source, training_batches
from hdnet_jax.training.state import (
  make_model,
  make_optimizer,
  make_schedule,
  make_start,
)
from hdnet_jax.training.step import composites_of_step, make_train_step


def batches_of(config):
  data = config.data
  return training_batches(
    open_source(data, "train"),
    config.batch_size,
    config.seed,
    Reader(),
    composites=data.composites if data.makes_composites else None,
  )


def run_steps(config, chosen, count):
  mesh = devices.make_mesh(config.mesh, chosen)
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=2.0)
  step = make_train_step(config, optimizer, mesh)
  batches = batches_of(config)
  state = make_start(config, optimizer, mesh)()
  losses = []
  for _ in range(count):
    state, measures = step(state, devices.put(next(batches), mesh))
    losses.append(float(measures["loss"]))
  return jax.device_get(state.params), losses


def assert_same_weights(several, one):
  # Adam divides by the gradient's size: where that is rounding error alone, in
  # an entry of a tensor, so is the step, which is up to 1e-3 long.
  for a, b in zip(jax.tree.leaves(several), jax.tree.leaves(one), strict=True):
    assert np.linalg.norm(a - b) <= 5e-5 * max(np.linalg.norm(b), 1)


def test_eight_devices_equal_one(config):
  assert len(jax.devices()) == 8
  one, losses_one = run_steps(config, jax.devices()[:1], 2)
  eight, losses_eight = run_steps(config, jax.devices(), 2)
  np.testing.assert_allclose(losses_eight, losses_one, rtol=1e-5)
  assert_same_weights(eight, one)


@pytest.mark.parametrize(
  "mesh",
  [MeshConfig(4, 2), pytest.param(MeshConfig(1, 4), marks=pytest.mark.slow)],
  ids=str,
)
def test_bands_of_images_equal_whole_ones(config, mesh):
  one, losses_one = run_steps(config, jax.devices()[:1], 2)
  banded = dataclasses.replace(config, mesh=mesh)
  several, losses_several = run_steps(banded, jax.devices(), 2)
  np.testing.assert_allclose(losses_several, losses_one, rtol=1e-5)
  assert_same_weights(several, one)


@pytest.mark.slow
def test_remat_changes_memory_only(config):
  plain, losses_plain = run_steps(config, jax.devices()[:1], 2)
  model = dataclasses.replace(config.model, remat=True)
  remat = dataclasses.replace(config, model=model)
  again, losses_again = run_steps(remat, jax.devices()[:1], 2)
  np.testing.assert_allclose(losses_again, losses_plain, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    plain,
    again,
  )


def test_remat_keeps_less_for_the_backward_pass(config):
  """Counted before XLA, whose CPU compiler merges what is computed twice."""

  def kept(remat: bool) -> int:
    model = make_model(dataclasses.replace(config.model, remat=remat))
    image, mask = (
      jax.ShapeDtypeStruct((1, 64, 64, channels), np.float32)
      for channels in (3, 1)
    )
    params = jax.eval_shape(model.init, jax.random.key(0), image, mask)
    backward = jax.eval_shape(
      lambda p, *inputs: jax.vjp(lambda p: model.apply(p, *inputs), p)[1],
      params,
      image,
      mask,
    )
    leaves = jax.tree.leaves(backward)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

  assert kept(True) < 0.5 * kept(False)


def test_a_min_keeps_its_share_of_a_smaller_image(config):
  """Batches of half-size epochs have a quarter of the pixels."""
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  batch = devices.put(next(batches_of(config)), mesh)
  larger = dataclasses.replace(
    config,
    min_area=4 * config.min_area,
    data=dataclasses.replace(
      config.data, image_size=2 * config.data.image_size
    ),
  )
  start = make_start(config, optimizer, mesh)
  expected, measures = make_train_step(config, optimizer, mesh)(start(), batch)
  found, again = make_train_step(larger, optimizer, mesh)(start(), batch)
  assert float(again["loss"]) == pytest.approx(float(measures["loss"]))
  assert_same_weights(
    *(jax.device_get(state.params) for state in (found, expected))
  )


def test_ema_follows_the_parameters(config):
  decay = 0.9
  config = dataclasses.replace(config, training=TrainingConfig(ema_decay=decay))
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  step = make_train_step(config, optimizer, mesh)
  batches = batches_of(config)
  state = make_start(config, optimizer, mesh)()
  mean = jax.device_get(state.params)
  for number in range(3):
    state, _ = step(state, devices.put(next(batches), mesh))
    d = min(decay, (1 + number) / (10 + number))
    params = jax.device_get(state.params)
    mean = jax.tree.map(lambda m, p, d=d: d * m + (1 - d) * p, mean, params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    mean,
    jax.device_get(state.ema),
  )
  assert state.evaluated is state.ema
  assert state.replace(ema=None).evaluated is state.params


def test_same_seed_same_run(config):
  first, losses_first = run_steps(config, jax.devices()[:1], 2)
  second, losses_second = run_steps(config, jax.devices()[:1], 2)
  assert losses_first == losses_second
  jax.tree.map(np.testing.assert_array_equal, first, second)


def test_other_seed_other_run(config):
  _, first = run_steps(config, jax.devices()[:1], 1)
  other = dataclasses.replace(config, seed=1)
  _, second = run_steps(other, jax.devices()[:1], 1)
  assert first != second


def test_state_is_donated(config):
  mesh = devices.make_mesh(MeshConfig(), jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  step = make_train_step(config, optimizer, mesh)
  batches = batches_of(config)
  state = make_start(config, optimizer, mesh)()
  kernel = state.params["x0"]["kernel"]
  step(state, devices.put(next(batches), mesh))
  assert kernel.is_deleted()


def test_every_step_makes_new_composites(config):
  batch = next(batches_of(config))
  complete, key = composites_of_step(config.data), jax.random.key(0)
  first, again = complete(batch, key, 0), complete(batch, key, 0)
  later = complete(batch, key, 1)
  np.testing.assert_array_equal(first["composite"], again["composite"])
  assert (first["composite"] != later["composite"]).any()


def test_a_step_uses_every_random_key_once(config):
  data = dataclasses.replace(config.data, composites=CompositesConfig(jpeg=0.5))
  config = dataclasses.replace(config, data=data)
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  batch = devices.put(next(batches_of(config)), mesh)
  state = make_start(config, optimizer, mesh)()
  with jax.debug_key_reuse(True):
    make_train_step(config, optimizer, mesh)(state, batch)


def test_the_loss_is_of_the_foreground(config):
  """What differs outside the mask cannot be changed, and is no loss."""
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 2.0)
  made = composites_of_step(config.data)(
    next(batches_of(config)), jax.random.key(0), 0
  )
  names = ("composite", "real", "mask", "index")
  batch = {name: np.asarray(made[name]) for name in names}
  other = np.where(batch["mask"], batch["real"], batch["real"] // 2)
  step = make_train_step(config, optimizer, mesh)
  start = make_start(config, optimizer, mesh)
  losses = [
    float(step(start(), devices.put(batch | {"real": real}, mesh))[1]["loss"])
    for real in (batch["real"], other)
  ]
  assert losses[0] == losses[1]


def test_paper_schedule():
  from hdnet_jax.config import OptimizerConfig

  steps = 65_742 / 12
  rate = make_schedule(OptimizerConfig(), steps)
  np.testing.assert_allclose(rate(0), 1e-3)
  np.testing.assert_allclose(rate(round(100 * steps) - 1), 1e-3)
  np.testing.assert_allclose(rate(round(100 * steps) + 1), 1e-4, rtol=1e-6)
  np.testing.assert_allclose(rate(round(110 * steps) + 1), 1e-5, rtol=1e-6)


def test_boundaries_at_one_step_multiply():
  from hdnet_jax.config import OptimizerConfig

  config = OptimizerConfig(boundaries=(1.0, 1.1))
  rate = make_schedule(config, steps_per_epoch=2.0)
  np.testing.assert_allclose(rate(3), 1e-5, rtol=1e-6)


def test_optimizer_is_adam(config):
  ours = make_optimizer(config.optimizer, 1e6)
  adam = optax.adam(1e-3, b1=0.9, b2=0.999)
  params = {"w": np.array([1.0, -2.0], np.float32)}
  gradient = {"w": np.array([0.3, -0.1], np.float32)}
  update, _ = ours.update(gradient, ours.init(params))
  expected, _ = adam.update(gradient, adam.init(params))
  np.testing.assert_allclose(update["w"], expected["w"], rtol=1e-6)
