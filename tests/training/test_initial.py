"""Runs that start from trained weights."""

import dataclasses
import pathlib

import jax
import numpy as np
import pytest

from hdnet_jax import weights
from hdnet_jax.config import Config, TrainingConfig
from hdnet_jax.errors import UserError
from hdnet_jax.training.loop import train_and_evaluate
from hdnet_jax.training.restore import load_initial_params, restore_params


@pytest.fixture
def file(trained, tmp_path) -> pathlib.Path:
  """The weights of a finished run."""
  params, config, _ = restore_params(trained, "last")
  file = tmp_path / "start.safetensors"
  weights.save(file, params, config.model)
  return file


def from_weights(config: Config, name: str, **options) -> Config:
  training = TrainingConfig(initial_weights=name, **options)
  return dataclasses.replace(config, training=training)


def test_a_run_starts_from_them_and_needs_them_no_more(config, file, tmp_path):
  # Steps so small that they change no float32.
  still = dataclasses.replace(
    from_weights(config, str(file), ema_decay=0.9),
    epochs=2.0,
    optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-30),
  )
  workdir = tmp_path / "run"
  state = train_and_evaluate(still, workdir)
  expected, _, _ = weights.load(file)
  jax.tree.map(np.testing.assert_array_equal, state.params, expected)
  jax.tree.map(
    # A mean of equal numbers is rounded.
    lambda mean, value: np.testing.assert_allclose(mean, value, rtol=1e-6),
    state.ema,
    expected,
  )
  # A random start would not be there.
  assert np.ptp(expected["x1"]["conv"]["kernel"]) > 0
  assert int(state.step) == 3

  file.unlink()
  again = train_and_evaluate(still, workdir)  # finished, so it evaluates
  assert int(again.step) == 3
  with pytest.raises(UserError, match=r"start\.safetensors is no file"):
    train_and_evaluate(still, tmp_path / "another")
  assert not (tmp_path / "another").exists()


def test_they_learn_on(config, file, tmp_path):
  tuned = from_weights(config, str(file))
  state = train_and_evaluate(tuned, tmp_path / "run")
  before, _, _ = weights.load(file)
  moved = jax.tree.map(
    lambda new, old: bool((np.asarray(new) != old).any()), state.params, before
  )
  assert all(jax.tree.leaves(moved))


def test_those_of_another_network_are_refused(config, file, tmp_path):
  model = dataclasses.replace(config.model, width=4, neighbors=3)
  wrong = dataclasses.replace(from_weights(config, str(file)), model=model)
  with pytest.raises(UserError, match=r"set .*width=2, .*neighbors=1$"):
    train_and_evaluate(wrong, tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_released_ones_have_a_name():
  config = from_weights(Config(), "hdnet-lite")
  with pytest.raises(UserError, match=r"set config\.model\.width=8$"):
    load_initial_params(config)
  lite = dataclasses.replace(config.model, width=8)
  params = load_initial_params(dataclasses.replace(config, model=lite))
  expected, _, _ = weights.load("hdnet-lite")
  jax.tree.map(np.testing.assert_array_equal, params, expected)
