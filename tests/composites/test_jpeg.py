import io

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.composites.jpeg import save_as_jpeg


@pytest.fixture
def photo(rng) -> np.ndarray:
  small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
  return np.asarray(small.resize((32, 24), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("quality", [60, 80])
def test_is_near_to_what_an_encoder_makes(photo, quality):
  data = io.BytesIO()
  Image.fromarray(photo).save(data, "JPEG", quality=quality, subsampling=0)
  expected = np.asarray(Image.open(data), np.float32)
  result = 255 * jax.jit(save_as_jpeg)(photo / np.float32(255), quality)
  # Encoders also round in between, to whole levels of three channels.
  effect = np.abs(photo - expected).mean()
  assert np.abs(result - expected).mean() < 0.3 * effect


def test_coarser_at_lower_quality(photo):
  photo = photo / np.float32(255)
  errors = [
    np.abs(save_as_jpeg(photo, quality) - photo).mean()
    for quality in (50, 75, 100)
  ]
  assert errors[0] > errors[1] > errors[2]
