import numpy as np
import pytest

from hdnet_jax.app.video.harmonize import Smoother

IMAGE = np.zeros((8, 8, 3))


def maps_of(value: float) -> np.ndarray:
  return np.full((3, 4, 8, 8), value, np.float32)


def test_the_first_frame_has_its_own_maps():
  assert Smoother(0.5)(maps_of(3), IMAGE, 7.0) is not None
  np.testing.assert_array_equal(Smoother(0.5)(maps_of(3), IMAGE, 7.0), 3)


@pytest.mark.parametrize("rate", [10, 25, 240])
def test_a_step_is_followed_at_the_same_pace_at_any_rate(rate):
  smooth = Smoother(0.5)
  smooth(maps_of(0), IMAGE, 0)
  for frame in range(1, rate + 1):
    result = smooth(maps_of(1), IMAGE, frame / rate)
  np.testing.assert_allclose(result, 1 - np.exp(-1 / 0.5), rtol=1e-4)
  assert result.dtype == np.float32


def test_the_same_for_a_rate_that_varies():
  smooth = Smoother(0.5)
  for time in (0, 0.1, 0.15, 0.6, 1):
    result = smooth(maps_of(time > 0), IMAGE, time)
  np.testing.assert_allclose(result, 1 - np.exp(-1 / 0.5), rtol=1e-4)


def test_it_starts_anew_at_a_cut():
  smooth = Smoother(0.5)
  smooth(maps_of(0), IMAGE, 0)
  assert smooth(maps_of(1), IMAGE + 0.1, 0.04).max() < 0.1  # of 2: no cut
  np.testing.assert_array_equal(smooth(maps_of(1), IMAGE + 0.5, 0.08), 1)
  assert smooth(maps_of(0), IMAGE + 0.5, 0.12).min() > 0.9


def test_zero_is_off():
  smooth = Smoother(0)
  for value in (0, 1, 0):
    given = maps_of(value)
    assert smooth(given, IMAGE, value) is given


def test_time_that_stands_or_goes_back():
  smooth = Smoother(0.5)
  for time in (1, 1, 0.5):
    assert np.isfinite(smooth(maps_of(1), IMAGE, time)).all()


@pytest.mark.parametrize("seconds", [-1, np.inf, np.nan])
def test_no_time_constant(seconds):
  with pytest.raises(ValueError, match="smoothing"):
    Smoother(seconds)
