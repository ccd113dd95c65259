"""When things happen in a run, and what of it may still change."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from hdnet_jax.config import Config, OptimizerConfig, TrainingConfig
from hdnet_jax.errors import UserError
from hdnet_jax.training import workdir as workdirs
from hdnet_jax.training.loop import train_and_evaluate
from hdnet_jax.training.schedule import Plan, make_plan, make_schedule
from hdnet_jax.training.state import make_optimizer


def replan(config: Config, epochs=5.0, boundaries=(100.0,), half=0.0) -> Config:
  return dataclasses.replace(
    config,
    epochs=epochs,
    optimizer=OptimizerConfig(boundaries=boundaries),
    training=TrainingConfig(half_size_epochs=half),
  )


def test_epochs_as_steps():
  config = replan(Config(), 5.0, (1.0, 4.0, 4.1), 3.0)
  plan = make_plan(config, 1.25)
  assert plan == Plan(total=7, half_size=4, boundaries=(1, 5, 5))
  assert plan.before(5) == Plan(5, 4, (1,))
  assert plan.before(6) == Plan(6, 4, (1, 5, 5))
  assert plan.before(3) == Plan(3, 3, (1,))
  # A boundary is the first step that has the lower rate.
  rate = make_schedule(config.optimizer, 1.25)
  rates = [float(rate(step)) for step in range(7)]
  np.testing.assert_allclose(
    rates, [1e-3, 1e-4, 1e-4, 1e-4, 1e-4, 1e-6, 1e-6], rtol=1e-5
  )


def test_the_papers_schedule():
  steps = 65_742 / 12
  rate = make_schedule(OptimizerConfig(), steps)
  np.testing.assert_allclose(rate(0), 1e-3)
  np.testing.assert_allclose(rate(round(100 * steps) - 1), 1e-3)
  np.testing.assert_allclose(rate(round(100 * steps) + 1), 1e-4, rtol=1e-6)
  np.testing.assert_allclose(rate(round(110 * steps) + 1), 1e-5, rtol=1e-6)


def test_the_optimizer_is_adam():
  optimizer = make_optimizer(OptimizerConfig(), 1e6)
  adam = optax.adam(1e-3, b1=0.9, b2=0.999)
  params = {"w": np.array([1.0, -2.0], np.float32)}
  gradient = {"w": np.array([0.3, -0.1], np.float32)}
  (update, _), (expected, _) = (
    x.update(gradient, x.init(params)) for x in (optimizer, adam)
  )
  np.testing.assert_allclose(update["w"], expected["w"], rtol=1e-6)


def test_half_size_epochs_and_a_continuation_in_them(config, tmp_path):
  """Of 6 steps, 1.25 an epoch, the first 4 see images of half the size."""
  config = dataclasses.replace(
    config,
    epochs=4.8,
    log_every=1,
    eval_every=100,
    data=dataclasses.replace(config.data, image_size=32),
    training=TrainingConfig(half_size_epochs=3.2),
  )
  whole = train_and_evaluate(config, tmp_path / "whole")
  first = dataclasses.replace(config, epochs=2.4)
  train_and_evaluate(first, tmp_path / "parts")
  parts = train_and_evaluate(config, tmp_path / "parts")
  assert int(parts.step) == 6
  jax.tree.map(np.testing.assert_array_equal, parts.params, whole.params)

  # The first step is that of a network of half the size.
  small = dataclasses.replace(
    config,
    epochs=0.8,
    min_area=config.min_area / 4,
    data=dataclasses.replace(config.data, image_size=16),
    training=TrainingConfig(),
  )
  train_and_evaluate(small, tmp_path / "small")

  def first_loss(name):
    line, *_ = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
    return json.loads(line)["train/loss"]

  assert first_loss("parts") == first_loss("small")


def test_a_prolonged_run_ends_as_if_it_had_always_been_longer(
  config, finished, tmp_path
):
  """7 steps, 1.25 an epoch, become 10, with a lower rate from step 8."""
  longer = dataclasses.replace(
    config,
    epochs=8.0,
    optimizer=dataclasses.replace(config.optimizer, boundaries=(6.4, 110.0)),
  )
  prolonged = train_and_evaluate(longer, finished)
  whole = train_and_evaluate(longer, tmp_path / "whole")
  assert int(prolonged.step) == 10
  jax.tree.map(
    np.testing.assert_array_equal,
    prolonged.replace(key=jax.random.key_data(prolonged.key)),
    whole.replace(key=jax.random.key_data(whole.key)),
  )
  name = "evaluation/per_image.csv"
  assert (finished / name).read_text() == (
    tmp_path / "whole" / name
  ).read_text()
  assert workdirs.read_config(finished) == longer
  rows = (finished / "metrics.jsonl").read_text().splitlines()
  rates = {
    row["step"]: row["train/learning_rate"]
    for row in map(json.loads, rows)
    if "train/loss" in row
  }
  assert list(rates) == [2, 4, 6, 7, 8, 10]
  np.testing.assert_allclose([rates[8], rates[10]], [1e-3, 1e-4], rtol=1e-5)


@pytest.mark.parametrize(
  ("options", "told"),
  [
    ({"epochs": 4.0}, r"epochs: 5\.0 -> 4\.0"),
    ({"boundaries": (2.0,)}, r"boundaries: .* -> \(2\.0,\)"),
    ({"half": 1.0}, r"half_size_epochs: 0\.0 -> 1\.0"),
  ],
)
def test_what_was_done_stays(config, finished, options, told):
  before = (finished / "config.json").read_bytes()
  with pytest.raises(UserError, match=told):
    train_and_evaluate(replan(config, **options), finished)
  assert (finished / "config.json").read_bytes() == before


def test_before_the_first_checkpoint_every_plan_may_change(config, tmp_path):
  workdirs.claim(tmp_path, config, 1.25)
  changed = replan(config, 2.0, (1.0,), 1.0)
  workdirs.claim(tmp_path, changed, 1.25)
  assert workdirs.read_config(tmp_path) == changed
  # Not what is no plan, and nothing where no steps are known.
  other = dataclasses.replace(changed, seed=1, min_area=50.0)
  told = r"changes: seed: 0 -> 1; min_area: 100\.0 -> 50\.0$"  # in one line
  with pytest.raises(UserError, match=told):
    workdirs.claim(tmp_path, other, 1.25)
  with pytest.raises(UserError, match=r"epochs: 2\.0 -> 5\.0"):
    workdirs.claim(tmp_path, config)
