"""The metrics against scikit-image, on hard and on real images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
import skimage.metrics

from hdnet_jax import metrics

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
# Relative.
TOLERANCES = {"mse": 1e-5, "psnr": 1e-5, "ssim": 3e-5}
OURS = {
  "mse": jax.jit(metrics.mse),
  "psnr": jax.jit(metrics.psnr),
  "ssim": jax.jit(metrics.ssim),
}


def expect(image: np.ndarray, truth: np.ndarray) -> dict[str, float]:
  """scikit-image's, with its defaults, of two uint8 images."""
  return {
    "mse": skimage.metrics.mean_squared_error(truth, image),
    "psnr": skimage.metrics.peak_signal_noise_ratio(
      truth, image, data_range=255
    ),
    "ssim": skimage.metrics.structural_similarity(
      truth, image, channel_axis=-1, data_range=255
    ),
  }


def check(images: np.ndarray, truths: np.ndarray):
  assert images.dtype == truths.dtype == np.uint8
  wide = images.astype(np.float32), truths.astype(np.float32)
  expected = [expect(*pair) for pair in zip(images, truths, strict=True)]
  for name, metric in OURS.items():
    actual = metric(*wide)
    assert actual.shape == (len(images),)
    np.testing.assert_allclose(
      actual,
      [one[name] for one in expected],
      rtol=TOLERANCES[name],
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


def test_ssim_of_bright_images_loses_no_digits(rng):
  # What subtracting grey before squaring buys; compiled, fusion hides it.
  truth = np.full((1, 32, 20, 3), 250, np.uint8)
  image = add_noise(rng, truth, 2)
  np.testing.assert_allclose(
    metrics.ssim(image.astype(np.float32), truth.astype(np.float32)),
    [expect(image[0], truth[0])["ssim"]],
    rtol=1e-5,
  )


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


@pytest.mark.parametrize("name", PHOTOS)
def test_odd_crops_of_photos(rng, name):
  crop = load(name)[20:91, 31:158]
  check(add_noise(rng, crop[None], 25), crop[None])


def test_large_images_lose_no_digits(rng):
  # 3 million squared differences in one float32 sum.
  truth = rng.integers(0, 128, (1, 1024, 1024, 3), dtype=np.uint8)
  image = truth + np.uint8(127)
  image[:, :512] = truth[:, :512] + 1
  expected = ((image.astype(np.float64) - truth) ** 2).mean()
  wide = image.astype(np.float32), truth.astype(np.float32)
  np.testing.assert_allclose(OURS["mse"](*wide), [expected], rtol=1e-5)
  everywhere = np.ones((1, 1024, 1024, 1), np.float32)
  fmse = jax.jit(metrics.fmse)(*wide, everywhere)
  np.testing.assert_allclose(fmse, [expected], rtol=1e-5)


def test_equal_images(rng):
  images = rng.integers(0, 256, (2, 9, 8, 3)).astype(np.float32)
  assert OURS["mse"](images, images).tolist() == [0, 0]
  assert OURS["psnr"](images, images).tolist() == [np.inf, np.inf]
  np.testing.assert_allclose(OURS["ssim"](images, images), 1, rtol=1e-6)


def test_fmse_by_hand():
  truth = jnp.full((3, 2, 2, 3), 100.0)
  image = truth.at[:, 0, 0].add(jnp.array([1.0, -2.0, 3.0]))
  image = image.at[:, 1, 1, 2].add(10.0)
  mask = np.zeros((3, 2, 2, 1), np.float32)
  mask[0, 0, 0] = 1
  mask[1, 0] = 1
  mask[2] = 1
  # 14 over one pixel, 14 over two, and 114 over four; three channels each.
  np.testing.assert_allclose(
    jax.jit(metrics.fmse)(image, truth, mask),
    [14 / 3, 14 / 6, 114 / 12],
    rtol=1e-6,
  )


def test_fmse_of_an_empty_mask_is_zero(rng):
  image, truth = rng.uniform(0, 255, (2, 1, 8, 8, 3)).astype(np.float32)
  fmse = metrics.fmse(image, truth, np.zeros((1, 8, 8, 1), np.float32))
  assert fmse.tolist() == [0]


def test_fmse_is_the_mse_of_a_cut_out(rng):
  images, truths = rng.integers(0, 256, (2, 1, 23, 17, 3), dtype=np.uint8)
  mask = np.zeros((1, 23, 17, 1), np.float32)
  mask[:, 4:15, 2:9] = 1
  wide = images.astype(np.float32), truths.astype(np.float32)
  expected = skimage.metrics.mean_squared_error(
    truths[:, 4:15, 2:9], images[:, 4:15, 2:9]
  )
  np.testing.assert_allclose(metrics.fmse(*wide, mask), [expected], rtol=1e-5)
