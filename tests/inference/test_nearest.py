import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from hdnet_jax.inference import nearest

SHAPES = [(1, 1), (1, 7), (9, 1), (5, 5), (33, 64), (64, 33), (20, 257)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_distances_are_scipys(shape, share, rng):
  known = rng.uniform(size=shape) < share
  known[rng.integers(shape[0]), rng.integers(shape[1])] = True
  expected = distance_transform_edt(~known)
  np.testing.assert_allclose(nearest.distance(known), expected, rtol=1e-12)
  assert known[nearest.nearest(known)].all()


def test_blocks_do_not_show(rng):
  known = rng.uniform(size=(40, 50)) < 0.01
  whole = nearest.nearest(known)
  np.testing.assert_array_equal(nearest.nearest(known, block=120), whole)


def test_a_wide_image_needs_more_than_32_bits():
  known = np.zeros((2, 40_000), bool)
  known[1, 0] = True
  assert nearest.distance(known)[0, -1] == np.hypot(1, 39_999)
