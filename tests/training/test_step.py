"""The optimization step: devices, donation, the loss."""

import dataclasses

import jax
import numpy as np
import pytest

from hdnet_jax.config import (
  CompositesConfig,
  MeshConfig,
  TrainingConfig,
  only,
)
from hdnet_jax.training.state import make_model
from hdnet_jax.training.step import composites_of_step


@pytest.fixture
def run_steps(make_stepper):
  def run(config, count=2):
    """The parameters after `count` steps, and the losses."""
    stepper = make_stepper(config)
    state, losses = stepper.start(), []
    for _ in range(count):
      state, measures = stepper.step(state, stepper.next_batch())
      losses.append(float(measures["loss"]))
    return jax.device_get(state.params), losses

  return run


def assert_same_weights(params, expected):
  # Adam divides by the gradient's size. Where that is rounding error alone, in
  # an entry of a tensor, so is the step, which is up to 1e-3 long.
  for a, b in zip(
    jax.tree.leaves(params), jax.tree.leaves(expected), strict=True
  ):
    assert np.linalg.norm(a - b) <= 5e-5 * max(np.linalg.norm(b), 1)


@pytest.mark.parametrize(
  "mesh",
  [
    MeshConfig(),
    MeshConfig(4, 2),
    pytest.param(MeshConfig(1, 4), marks=pytest.mark.slow),
  ],
  ids=str,
)
def test_several_devices_equal_one(config, run_steps, mesh):
  assert len(jax.devices()) == 8
  expected, expected_losses = run_steps(config)
  config = dataclasses.replace(config, mesh=mesh)
  params, losses = run_steps(config)
  np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
  assert_same_weights(params, expected)


@pytest.mark.slow
def test_remat_changes_memory_only(config, run_steps):
  expected, expected_losses = run_steps(config)
  model = dataclasses.replace(config.model, remat=True)
  params, losses = run_steps(dataclasses.replace(config, model=model))
  np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    params,
    expected,
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


def test_a_min_keeps_its_share_of_a_smaller_image(config, make_stepper):
  """Batches of half-size epochs have a quarter of the pixels."""
  small = make_stepper(config)
  larger = make_stepper(
    dataclasses.replace(
      config,
      min_area=4 * config.min_area,
      data=dataclasses.replace(
        config.data, image_size=2 * config.data.image_size
      ),
    )
  )
  batch = small.next_batch()
  (expected, measures), (state, again) = (
    stepper.step(stepper.start(), batch) for stepper in (small, larger)
  )
  assert float(again["loss"]) == pytest.approx(float(measures["loss"]))
  assert_same_weights(*jax.device_get((state.params, expected.params)))


def test_ema_follows_the_parameters(config, make_stepper):
  decay = 0.9
  stepper = make_stepper(
    dataclasses.replace(config, training=TrainingConfig(ema_decay=decay))
  )
  state = stepper.start()
  mean = jax.device_get(state.params)
  for number in range(3):
    state, _ = stepper.step(state, stepper.next_batch())
    d = min(decay, (1 + number) / (10 + number))
    params = jax.device_get(state.params)
    mean = jax.tree.map(lambda m, p, d=d: d * m + (1 - d) * p, mean, params)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
    mean,
    jax.device_get(state.ema),
  )
  assert state.eval_params is state.ema
  assert state.replace(ema=None).eval_params is state.params


def test_the_seed_decides_the_run(config, run_steps):
  params, losses = run_steps(config)
  again, losses_again = run_steps(config)
  assert losses == losses_again
  jax.tree.map(np.testing.assert_array_equal, params, again)
  _, other = run_steps(dataclasses.replace(config, seed=1), count=1)
  assert other != losses[:1]


def test_state_is_donated(config, make_stepper):
  stepper = make_stepper(config)
  state = stepper.start()
  kernel = state.params["x0"]["kernel"]
  stepper.step(state, stepper.next_batch())
  assert kernel.is_deleted()


def test_every_step_makes_new_composites(config, make_stepper):
  batch = next(make_stepper(config).batches)
  complete, key = composites_of_step(config.data), jax.random.key(0)
  first, again = complete(batch, key, 0), complete(batch, key, 0)
  later = complete(batch, key, 1)
  np.testing.assert_array_equal(first["composite"], again["composite"])
  assert (first["composite"] != later["composite"]).any()


def test_a_step_uses_every_random_key_once(config, make_stepper):
  data = dataclasses.replace(config.data, composites=CompositesConfig(jpeg=0.5))
  stepper = make_stepper(dataclasses.replace(config, data=data))
  state, batch = stepper.start(), stepper.next_batch()
  with jax.debug_key_reuse(True):
    stepper.step(state, batch)


def test_colour_maps_that_changed_are_read_anew(config, make_stepper, tmp_path):
  """Steppers share programs, but a file may hold something else by now."""
  file = tmp_path / "maps.npz"
  composites = dataclasses.replace(only("color_map"), color_maps=str(file))
  data = dataclasses.replace(config.data, composites=composites)
  config = dataclasses.replace(config, data=data)
  losses = []
  for level in (40, 200):
    np.savez(file, maps=np.full((1, 2, 2, 2, 3), level, np.uint8))
    stepper = make_stepper(config)
    _, measures = stepper.step(stepper.start(), stepper.next_batch())
    losses.append(float(measures["loss"]))
  assert losses[0] != losses[1]


def test_the_loss_is_of_the_foreground(config, make_stepper):
  """What differs outside the mask cannot be changed, and is no loss."""
  stepper = make_stepper(config)
  composites = composites_of_step(config.data)(
    next(stepper.batches), jax.random.key(0), 0
  )
  names = ("composite", "real", "mask", "index")
  batch = {name: np.asarray(composites[name]) for name in names}
  other = np.where(batch["mask"], batch["real"], batch["real"] // 2)
  losses = [
    float(
      stepper.step(stepper.start(), stepper.put(batch | {"real": real}))[1][
        "loss"
      ]
    )
    for real in (batch["real"], other)
  ]
  assert losses[0] == losses[1]
