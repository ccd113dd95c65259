"""An engine that keeps its latest outputs."""

import pickle

import numpy as np
import pytest

from hdnet_jax.inference.harmonizer import Harmonizer
from hdnet_jax.inference.recent_outputs import RecentOutputs


class Counted:
  """An engine that adds 0.1, and counts its runs."""

  def __init__(self):
    self.runs = 0

  def __call__(self, images, masks):
    self.runs += 1
    return images + np.float32(0.1) * masks


@pytest.fixture
def engine() -> Counted:
  return Counted()


def inputs(seed: int) -> tuple[np.ndarray, np.ndarray]:
  image = np.random.default_rng(seed).uniform(-1, 0.5, (1, 8, 8, 3))
  return image.astype(np.float32), np.ones((1, 8, 8, 1), np.float32)


def test_what_is_known_takes_no_run(engine):
  recent = RecentOutputs(engine, 10**6)
  for seed in (0, 1, 0, 1):
    np.testing.assert_array_equal(recent(*inputs(seed)), engine(*inputs(seed)))
  assert engine.runs == 4 + 2
  image, mask = inputs(0)
  mask[0, 0] = 0
  assert (recent(image, mask) != recent(*inputs(0))).any()


def test_the_oldest_go_first(engine):
  size = inputs(0)[0].nbytes
  recent = RecentOutputs(engine, 2 * size)
  for seed in (0, 1, 0, 2):
    recent(*inputs(seed))
  assert recent.kept_bytes == 2 * size
  runs = engine.runs
  recent(*inputs(0))
  recent(*inputs(2))
  assert engine.runs == runs
  recent(*inputs(1))
  assert engine.runs == runs + 1


def test_what_is_too_large_is_not_kept(engine):
  recent = RecentOutputs(engine, 10)
  recent(*inputs(0))
  assert recent.kept_bytes == 0


def test_it_can_be_pickled(engine):
  recent = pickle.loads(pickle.dumps(RecentOutputs(engine, 10**6)))
  np.testing.assert_array_equal(recent(*inputs(0)), engine(*inputs(0)))


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_another_strength_takes_no_run(engine, mode):
  plain = Harmonizer(Counted(), 16, mode)
  remembering = Harmonizer(engine, 16, mode).remembering(10**6)
  photo = np.random.default_rng(0).integers(0, 200, (24, 32, 3), np.uint8)
  mask = np.zeros((24, 32), bool)
  mask[6:18, 8:24] = True
  for strength in (1, 0.5, 1.5):
    np.testing.assert_array_equal(
      remembering(photo, mask, strength=strength),
      plain(photo, mask, strength=strength),
    )
  assert engine.runs == 1
