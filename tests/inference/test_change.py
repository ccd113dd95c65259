import numpy as np
import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.inference.change import ChangeOptions, feather_mask


@pytest.mark.parametrize("strength", [-0.1, 1.51, float("nan")])
def test_bad_strengths_are_told(strength):
  with pytest.raises(UserError, match=r"strength=.* is not in 0 to 1\.5"):
    ChangeOptions(strength)


@pytest.mark.parametrize("feather", [-1, float("inf"), float("nan")])
def test_bad_feathers_are_told(feather):
  with pytest.raises(UserError, match=r"feather=.* is not a number of pixels"):
    ChangeOptions(feather=feather)


def test_the_region_of_the_background_is_the_rest():
  mask, change = np.float32([[0, 0.25, 1]]), ChangeOptions(background=True)
  np.testing.assert_array_equal(change.region(mask), 1 - mask)
  np.testing.assert_array_equal(change.region(mask > 0), [[True, False, False]])
  assert ChangeOptions().region(mask) is mask
  nothing = mask / 2  # nowhere over a half
  assert change.region(nothing) is nothing


def test_a_feather_rises_inwards_from_the_edge():
  mask = np.zeros((40, 50), bool)
  mask[10:30, 5:] = True  # to the image's border, which is no edge
  result = feather_mask(mask, 3)
  np.testing.assert_allclose(
    result[9:15, -1], [0, 0.25, 0.5, 0.75, 1, 1], atol=1e-6
  )
  np.testing.assert_allclose(result[20, 4:9], [0, 0.25, 0.5, 0.75, 1])
  assert (result[~mask] == 0).all()
  assert feather_mask(mask, 0) is mask
  half = feather_mask(mask * np.float32(0.5), 3)
  np.testing.assert_array_equal(half, result / 2)
  everything = np.ones((9, 9), bool)
  np.testing.assert_array_equal(feather_mask(everything, 5), everything)


@pytest.mark.parametrize("feather", [0.5, 4, 30])
def test_blocks_do_not_show(feather):
  y, x = np.mgrid[-1:1:90j, -1:1:70j]
  # 1 in the middle, down to 0 at the edge of a disc.
  mask = np.clip(2 - 2.5 * np.hypot(y, x), 0, 1).astype(np.float32)
  np.testing.assert_array_equal(
    feather_mask(mask, feather, block_pixels=700), feather_mask(mask, feather)
  )
