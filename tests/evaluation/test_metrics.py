"""The metrics against scikit-image, on hard and on real images."""

import functools

import jax
import numpy as np
import pytest
import skimage.data
import skimage.metrics

from hdnet_jax.evaluation import metrics

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
# Relative. Sums are exact; SSIM's windows are divided in float32.
TOLERANCES = {"mse": 1e-14, "psnr": 1e-14, "fmse": 1e-14, "ssim": 1e-6}
pixel_sums = jax.jit(metrics.pixel_sums)


def compute(images, truths, masks=None) -> dict[str, np.ndarray]:
  if masks is None:
    masks = np.ones((*images.shape[:3], 1), np.uint8)
  area = masks.sum(axis=(1, 2, 3))
  return metrics.from_sums(
    pixel_sums(images, truths, masks), area, images.shape[2]
  )


def expect(image: np.ndarray, truth: np.ndarray) -> dict[str, float]:
  """scikit-image's, with its defaults, of two uint8 images."""
  return {
    "mse": skimage.metrics.mean_squared_error(truth, image),
    "fmse": skimage.metrics.mean_squared_error(truth, image),
    "psnr": skimage.metrics.peak_signal_noise_ratio(
      truth, image, data_range=255
    ),
    "ssim": skimage.metrics.structural_similarity(
      truth, image, channel_axis=-1, data_range=255
    ),
  }


def check(images: np.ndarray, truths: np.ndarray):
  assert images.dtype == truths.dtype == np.uint8
  found = compute(images, truths)
  assert tuple(found) == (*metrics.NAMES, *metrics.SHIFTS)
  expected = [expect(*pair) for pair in zip(images, truths, strict=True)]
  for name, tolerance in TOLERANCES.items():
    assert found[name].shape == (len(images),)
    assert found[name].dtype == np.float64
    np.testing.assert_allclose(
      found[name],
      [values[name] for values in expected],
      rtol=tolerance,
      err_msg=name,
    )


def add_noise(rng, images: np.ndarray, levels: int) -> np.ndarray:
  noise = rng.integers(-levels, levels, images.shape, endpoint=True)
  return np.clip(images.astype(int) + noise, 0, 255).astype(np.uint8)


def make_smooth(rng, height: int, width: int) -> np.ndarray:
  """A batch of two images of slow waves, [0, 255]."""
  y, x = np.mgrid[:height, :width]
  phase, rate = rng.uniform(0, 6, (2, 1, 1, 3)), rng.uniform(0.02, 0.2, 3)
  waves = np.sin(phase + (y + 2 * x)[..., None] * rate)
  return np.round(127.5 + 127.5 * waves).astype(np.uint8)


@pytest.mark.parametrize("size", [(7, 7), (16, 16), (23, 41), (64, 9)])
def test_random_images(rng, size):
  images, truths = rng.integers(0, 256, (2, 2, *size, 3), dtype=np.uint8)
  check(images, truths)


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("size", [(32, 32), (23, 41)])
def test_near_equal_images(rng, levels, size):
  truths = make_smooth(rng, *size)
  check(add_noise(rng, truths, levels), truths)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("levels", [1, 2])
def test_flat_images(rng, level, levels):
  truths = np.full((2, 32, 20, 3), level, np.uint8)
  check(add_noise(rng, truths, levels), truths)
  # Both flat: no variance at all.
  shifted = np.clip(truths.astype(int) + 3, 0, 250).astype(np.uint8)
  check(shifted, truths)


@functools.cache
def load(name: str) -> np.ndarray:
  return getattr(skimage.data, name)()


@pytest.mark.parametrize("name", PHOTOS)
def test_photos(rng, name):
  photo = load(name)
  gamma = (255 * (photo / 255) ** 1.4).round().astype(np.uint8)
  brighter = np.clip(photo.astype(int) + 20, 0, 255).astype(np.uint8)
  images = np.stack([gamma, brighter, add_noise(rng, photo, 1)])
  check(images, np.stack([photo] * 3))
  crop = photo[20:91, 31:158]  # of odd sides
  check(add_noise(rng, crop[None], 25), crop[None])


def test_equal_images(rng):
  images = rng.integers(0, 256, (2, 9, 8, 3), dtype=np.uint8)
  found = compute(images, images)
  assert found["mse"].tolist() == [0, 0]
  assert found["psnr"].tolist() == [np.inf, np.inf]
  np.testing.assert_allclose(found["ssim"], 1, rtol=1e-6)


def test_fmse_by_hand():
  truth = np.full((3, 8, 8, 3), 100, np.uint8)
  image = truth.copy()
  image[:, 0, 0] += np.array([1, 2, 3], np.uint8)
  image[:, 1, 1, 2] -= 10
  mask = np.zeros((3, 8, 8, 1), np.uint8)
  mask[0, 0, 0] = 1
  mask[1, 0, :2] = 1
  mask[2, :2, :2] = 1
  # 14 over one pixel, 14 over two, and 114 over four; three channels each.
  found = compute(image, truth, mask)
  np.testing.assert_allclose(found["fmse"], [14 / 3, 14 / 6, 114 / 12])
  np.testing.assert_allclose(found["mse"], 114 / 192)


def test_fmse_of_an_empty_mask_is_zero(rng):
  image, truth = rng.integers(0, 256, (2, 1, 8, 8, 3), dtype=np.uint8)
  found = compute(image, truth, np.zeros((1, 8, 8, 1), np.uint8))
  assert found["fmse"].tolist() == [0]


def test_values_do_not_depend_on_the_batch(rng):
  images, truths = rng.integers(0, 256, (2, 5, 16, 24, 3), dtype=np.uint8)
  together = compute(images, truths)
  for place in range(5):
    alone = compute(images[place : place + 1], truths[place : place + 1])
    for name in metrics.NAMES:
      assert alone[name][0] == together[name][place], name


@pytest.mark.parametrize("width", [8192, 8193, 11_009, 25_000])
def test_no_width_is_too_much(width):
  """255 everywhere, whose sum over a row of 11,009 pixels is over 2^31."""
  image = np.full((1, 7, width, 3), 255, np.uint8)
  image[:, :, -1] = 0
  found = compute(image, np.zeros_like(image))
  mse = 255**2 * (width - 1) / width
  np.testing.assert_allclose(found["mse"], [mse], rtol=1e-12)
  np.testing.assert_allclose(found["fmse"], [mse], rtol=1e-12)
  np.testing.assert_allclose(
    found["psnr"], [10 * np.log10(255**2 / mse)], atol=1e-12
  )


def test_shifts_are_the_means_of_the_foreground():
  truth = np.full((2, 8, 9, 3), 100, np.uint8)
  image, mask = truth.copy(), np.zeros((2, 8, 9, 1), np.uint8)
  mask[0, 2:4, 3:6] = 1  # of the second nothing is foreground
  image[0, 2, 3:6] = (112, 100, 94)  # half of the six pixels
  image[0, 7] = 0
  found = compute(image, truth, mask)
  assert [found[name][0] for name in metrics.SHIFTS] == [6, 0, -3]
  assert [found[name][1] for name in metrics.SHIFTS] == [0, 0, 0]
