import numpy as np
import pytest
from hdnet_jax.inference.feather import feathered

from hdnet_jax.inference import guided_filter


def test_a_feather_rises_inwards_from_the_edge():
  mask = np.zeros((40, 50), bool)
  mask[10:30, 5:] = True  # to the image's border, which is no edge
  result = feathered(mask, 3)
  np.testing.assert_allclose(
    result[9:15, -1], [0, 0.25, 0.5, 0.75, 1, 1], atol=1e-6
  )
  np.testing.assert_allclose(result[20, 4:9], [0, 0.25, 0.5, 0.75, 1])
  assert (result[~mask] == 0).all()
  assert feathered(mask, 0) is mask
  np.testing.assert_array_equal(
    feathered(mask * np.float32(0.5), 3), result / 2
  )
  everything = np.ones((9, 9), bool)
  np.testing.assert_array_equal(feathered(everything, 5), everything)


@pytest.mark.parametrize("feather", [0.5, 4, 30])
def test_bands_of_feathers_do_not_show(feather, monkeypatch):
  y, x = np.mgrid[-1:1:90j, -1:1:70j]
  # 1 in the middle, down to 0 at the edge of a disc.
  mask = np.clip(2 - 2.5 * np.hypot(y, x), 0, 1).astype(np.float32)
  expected = feathered(mask, feather)
  monkeypatch.setattr(guided_filter, "_BAND", 700)
  np.testing.assert_array_equal(feathered(mask, feather), expected)
