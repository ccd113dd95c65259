"""Protocols, by hand and against their arithmetic done anew with NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import (
  mean_squared_error,
  peak_signal_noise_ratio,
  structural_similarity,
)

from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.evaluation import evaluator, metrics, protocols
from hdnet_jax.evaluation.protocols import paper, standard

SIZE = 256


@pytest.fixture
def images(rng):
  """Outputs in range, composites, truths and masks."""
  shape = (3, 16, 24)
  real = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
  composite = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
  output = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
  mask = (rng.uniform(size=(*shape, 1)) < 0.3).astype(np.uint8)
  mask[2] = 0
  return output, composite, real, mask


def run_protocol(protocol, output, composite, real, mask):
  """The images, and what the network saw."""
  seen = []

  def harmonize(image, region):
    seen.append((image, region))
    return mask * output + (1 - mask) * image

  found = protocol(harmonize, composite, real, mask)
  ((image, region),) = seen
  assert region.dtype == jnp.float32
  np.testing.assert_array_equal(region, mask)
  return found, np.asarray(image)


def test_standard(images):
  output, composite, real, mask = images
  found, seen = run_protocol(standard, *images)
  np.testing.assert_allclose(seen, composite / 127.5 - 1, atol=1e-6)
  rounded = np.round((output.astype(np.float64) + 1) * 127.5).astype(np.uint8)
  np.testing.assert_array_equal(found.composite, composite)
  np.testing.assert_array_equal(found.real, real)
  np.testing.assert_array_equal(
    found.harmonized, np.where(mask, rounded, composite)
  )


def test_standard_rounds_and_clips(images):
  _, composite, real, mask = images
  for value, pixel in ((100.6, 101), (100.4, 100), (-50, 0), (999, 255)):
    level = np.full(real.shape, value / 127.5 - 1, np.float32)
    found = standard(lambda *_, level=level: level, composite, real, mask)
    assert np.all(found.harmonized == pixel)


def authors_input(pixels: np.ndarray) -> np.ndarray:
  """ToTensor and Normalize(0.5, 0.5), in float32."""
  half = np.float32(0.5)
  return (pixels.astype(np.float32) / np.float32(255) - half) / half


def authors_pixels(image: np.ndarray) -> np.ndarray:
  half, peak = np.float32(0.5), np.float32(255)
  return ((image + np.float32(1)) * half * peak).astype(np.uint8)


def test_paper(images):
  output, composite, real, mask = images
  found, seen = run_protocol(paper, *images)
  # The background of the input is the truth's.
  pasted = composite * mask + real * (1 - mask)
  np.testing.assert_array_equal(seen, authors_input(pasted))
  np.testing.assert_array_equal(
    found.composite, authors_pixels(authors_input(pasted))
  )
  np.testing.assert_array_equal(found.real, authors_pixels(authors_input(real)))
  np.testing.assert_array_equal(
    found.harmonized,
    np.where(mask, authors_pixels(output), authors_pixels(authors_input(real))),
  )


def test_paper_truncates(images):
  _, composite, real, _ = images
  everywhere = np.ones((*real.shape[:3], 1), np.uint8)
  for value, pixel in ((100.9, 100), (100.1, 100), (0.9, 0), (255, 255)):
    level = np.full(real.shape, value / 127.5 - 1, np.float32)
    found = paper(lambda *_, level=level: level, composite, real, everywhere)
    assert np.all(found.harmonized == pixel)


def test_an_untouched_image_loses_a_level_here_and_there():
  # A fact of the authors' arithmetic that a plain implementation misses.
  levels = np.arange(256, dtype=np.uint8)
  lost = levels != protocols.AUTHORS_PIXELS
  assert np.flatnonzero(lost).tolist() == list(range(1, 64))
  np.testing.assert_array_equal(
    protocols.AUTHORS_PIXELS[lost], levels[lost] - 1
  )


@pytest.mark.parametrize("name", ["standard", "paper"])
def test_predictions_are_scored_to_the_level(name):
  levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
  mask = np.ones((1, 16, 16, 1), np.uint8)
  harmonize = evaluator.predictions({}, {"prediction": jnp.asarray(levels)})
  found = jax.jit(
    lambda: protocols.PROTOCOLS[name](harmonize, levels, levels, mask)
  )()
  np.testing.assert_array_equal(found.harmonized, levels)


def read_anew(root, triplet):
  """A triplet's files, by Pillow alone, as the authors' loader reads them."""
  composite, real = (
    np.asarray(
      Image.open(root / path).convert("RGB").resize((SIZE, SIZE), 2), np.uint8
    )
    for path in (triplet.composite, triplet.real)
  )
  mask = Image.open(root / triplet.mask).convert("1").resize((SIZE, SIZE), 0)
  return composite, real, np.asarray(mask, np.uint8)[..., None]


def metrics_anew(image, truth, mask) -> dict[str, float]:
  mse = mean_squared_error(image, truth)
  return {
    "mse": mse,
    "psnr": peak_signal_noise_ratio(truth, image, data_range=255),
    "fmse": mse * mask.size / mask.sum(),
    "ssim": structural_similarity(
      image, truth, channel_axis=-1, data_range=255
    ),
  }


def brighten(image, mask):
  """Stands for a network: other levels, none on the verge of another."""
  del mask
  levels = np if isinstance(image, np.ndarray) else jnp
  return (levels.floor((image + 1) * 114.75 + 10.05) + 0.5) / 127.5 - 1


def harmonize(image, mask):
  return mask * brighten(image, mask) + (1 - mask) * image


def test_paper_on_real_triplets_equals_its_arithmetic_done_anew(shared):
  root = shared / "data/iharmony4_samples"
  source = Iharmony4Folder(root, "test", SIZE)
  compute = jax.jit(lambda c, r, m: _measured(paper, c, r, m))
  for index in range(len(source)):
    composite, real, mask = read_anew(root, source.triplets[index])
    pasted = composite * mask + real * (1 - mask)
    image = authors_input(pasted)
    blended = np.float32(harmonize(image, mask))
    truth = authors_pixels(authors_input(real))
    example = source[index]
    area, sums = compute(
      *(example[name][None] for name in ("composite", "real", "mask"))
    )
    for kind, values in (("composite", image), ("harmonized", blended)):
      expected = metrics_anew(authors_pixels(values), truth, mask)
      found = metrics.from_sums(sums[kind], np.asarray(area), SIZE)
      for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, rel=1e-6), name


def test_standards_composites_equal_scikit_image(shared):
  root = shared / "data/iharmony4_samples"
  source = Iharmony4Folder(root, "test", SIZE)
  compute = jax.jit(lambda c, r, m: _measured(standard, c, r, m))
  for index in range(len(source)):
    composite, real, mask = read_anew(root, source.triplets[index])
    example = source[index]
    area, sums = compute(
      *(example[name][None] for name in ("composite", "real", "mask"))
    )
    expected = metrics_anew(composite, real, mask)
    inside = mask[..., 0] > 0
    expected["fmse"] = mean_squared_error(composite[inside], real[inside])
    found = metrics.from_sums(sums["composite"], np.asarray(area), SIZE)
    for name, value in expected.items():
      assert found[name][0] == pytest.approx(value, rel=1e-6), name


def _measured(protocol, composite, real, mask):
  images = protocol(harmonize, composite, real, mask)
  sums = {
    kind: metrics.pixel_sums(getattr(images, kind), images.real, mask)
    for kind in ("composite", "harmonized")
  }
  return jnp.sum(mask, axis=(1, 2, 3), dtype=jnp.int32), sums
