import math

import numpy as np
import pytest

from hdnet_jax.evaluation import scorecard
from hdnet_jax.evaluation.tables import KINDS

WRONG = np.array([[-40, -30, -20], [10, 20, 0], [30, 10, 50], [-5, 5, 0]])


def rows_of(left: np.ndarray, mse=(100.0, 25.0)) -> list[dict]:
  """Objects that are off by `WRONG` levels, and then by `left`."""
  return [
    {
      "name": "a",
      "subset": "s",
      "protocol": "standard",
      "ratio": 0.5,
      **{
        f"{kind}_{name}": value
        for kind, shift, error in zip(KINDS, shifts, mse, strict=True)
        for name, value in {
          "mse": error,
          "psnr": 10 * math.log10(255**2 / error) if error else math.inf,
          "fmse": 2 * error,
          "ssim": 1.0,
          **dict(zip(("red", "green", "blue"), shift, strict=True)),
        }.items()
      },
    }
    for shifts in zip(WRONG, left, strict=True)
  ]


@pytest.mark.parametrize("slope", [0.25, 1.0, 1.5])
def test_slope_is_the_share_of_the_shift_that_is_made(slope):
  row = scorecard.summary(rows_of((1 - slope) * WRONG))
  assert row["brightness"] == pytest.approx([slope, 1])
  assert row["chroma"] == pytest.approx([slope, 1])


def test_a_change_of_chroma_alone_has_no_slope_of_brightness():
  luma = np.array([0.299, 0.587, 0.114])
  gray = (WRONG @ luma)[:, None] * np.ones(3)
  row = scorecard.summary(rows_of(gray))  # what is left is gray
  assert row["brightness"] is None or row["brightness"][0] == pytest.approx(0)
  assert row["chroma"] == pytest.approx([1, 1])


def test_means_gain_and_share():
  row = scorecard.summary(rows_of(0 * WRONG))
  assert row["count"] == 4
  assert row["psnr"] == pytest.approx([28.13, 34.15], abs=0.01)
  assert row["gain"] == pytest.approx(6.02, abs=0.01)
  assert row["fmse"] == [200, 50]
  assert row["better"] == 1


def test_untouched_objects_have_no_gain():
  row = scorecard.summary(rows_of(0 * WRONG, mse=(0.0, 25.0)))
  assert row["psnr"][0] is None
  assert row["gain"] is None
  assert row["better"] == 0
  assert scorecard.cells({"row": "untouched", **row})[2] == "same → 34.15"
