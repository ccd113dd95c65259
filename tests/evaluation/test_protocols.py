import jax
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from hdnet_jax.evaluation.protocols import NAMES, standard

standard_jit = jax.jit(standard)


@pytest.fixture
def images(rng):
  """Outputs a little out of range, composites, truths and masks."""
  shape = (3, 16, 24)
  real = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
  composite = np.clip(
    real + rng.normal(0, [[[[20]]], [[[4]]], [[[60]]]], real.shape), 0, 255
  ).astype(np.uint8)
  harmonized = rng.uniform(-1.2, 1.2, (*shape, 3)).astype(np.float32)
  mask = (rng.uniform(size=(*shape, 1)) < 0.3).astype(np.uint8)
  mask[2] = 0
  return harmonized, composite, real, mask


def rounded(harmonized: np.ndarray) -> np.ndarray:
  pixels = np.round((harmonized.astype(np.float64) + 1) * 127.5)
  return np.clip(pixels, 0, 255).astype(np.uint8)


def test_values_are_those_of_scikit_image(images):
  harmonized, composite, real, mask = images
  values, pixels = standard_jit(*images)
  np.testing.assert_array_equal(pixels, rounded(harmonized))
  for kind, image in (("composite", composite), ("harmonized", pixels)):
    for place in range(3):
      x, y = np.asarray(image[place]), real[place]
      squared = np.square(x.astype(np.float64) - y)
      region = mask[place].astype(bool)[..., 0]
      expected = {
        "mse": squared.mean(),
        "psnr": peak_signal_noise_ratio(y, x),
        "fmse": squared[region].mean() if region.any() else 0.0,
        "ssim": structural_similarity(y, x, channel_axis=-1),
      }
      assert tuple(expected) == NAMES
      for name, value in expected.items():
        found = values[f"{kind}_{name}"][place]
        np.testing.assert_allclose(found, value, rtol=1e-4, err_msg=name)


def test_names_and_shapes(images):
  values, pixels = standard_jit(*images)
  assert set(values) == {"ratio"} | {
    f"{kind}_{name}" for kind in ("composite", "harmonized") for name in NAMES
  }
  assert {value.shape for value in values.values()} == {(3,)}
  assert pixels.dtype == np.uint8
  assert pixels.shape == (3, 16, 24, 3)


def test_the_image_is_rounded_and_clipped(images):
  _, composite, real, mask = images
  # 0.6 of a level: truncation, as in the paper's protocol, would give 100.
  for value, pixel in ((100.6, 101), (100.4, 100), (-50, 0), (999, 255)):
    level = np.float32(value / 127.5 - 1)
    harmonized = np.full(real.shape, level, np.float32)
    values, pixels = standard_jit(harmonized, composite, real, mask)
    assert np.all(pixels == pixel)
    # The values are the uint8 image's, not the network's.
    np.testing.assert_allclose(
      values["harmonized_mse"],
      np.square(real.astype(float) - pixel).mean((1, 2, 3)),
      rtol=1e-5,
    )


def test_a_perfect_image(images):
  _, composite, real, mask = images
  perfect = (real / 127.5 - 1).astype(np.float32)
  values, pixels = standard_jit(perfect, composite, real, mask)
  np.testing.assert_array_equal(pixels, real)
  np.testing.assert_array_equal(values["harmonized_mse"], 0)
  np.testing.assert_array_equal(values["harmonized_fmse"], 0)
  np.testing.assert_array_equal(values["harmonized_psnr"], np.inf)
  np.testing.assert_allclose(values["harmonized_ssim"], 1, atol=1e-6)
  assert np.isfinite(values["composite_psnr"]).all()


def test_ratio_is_the_foregrounds_share(images):
  harmonized, composite, real, mask = images
  values, _ = standard_jit(harmonized, composite, real, mask)
  np.testing.assert_allclose(values["ratio"], mask.mean((1, 2, 3)), rtol=1e-6)
