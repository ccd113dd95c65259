"""Sizes, batches and options; kinds of images are in test_inputs."""

import copy
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import hdnet_jax
from hdnet_jax import Harmonizer, weights
from hdnet_jax.data.examples import read_image, read_mask
from hdnet_jax.errors import UserError
from hdnet_jax.inference.harmonizer import MaskWarning
from hdnet_jax.inference.modes import reduce
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.model.pixels import normalize, to_pixels

from .conftest import WHITE, in_depth, middle, photo, soft

SIZE = 32
# As small as images are, odd, and far from a square.
SIZES = [(16, 16), (45, 61), (31, 2000), (400, 17)]


@pytest.fixture(scope="module")
def apply(network):
  """The network alone."""
  params, model, _ = weights.load(network)
  hdnet = HDNet(width=model.width)
  return jax.jit(lambda *inputs: hdnet.apply({"params": params}, *inputs))


@pytest.mark.parametrize(
  ("mode", "size"),
  [("direct", (16, 16)), ("direct", (18, 27))]
  + [("guided", size) for size in SIZES],
)
def test_the_background_is_a_copy_and_the_object_changes(
  harmonizers, mode, size
):
  composite, mask = photo(*size), middle(*size)
  before = composite.copy(), mask.copy()
  result = harmonizers[mode](composite, mask)
  assert result.dtype == np.uint8
  assert result.shape == composite.shape
  np.testing.assert_array_equal(result[~mask], composite[~mask])
  assert np.mean(result[mask] != composite[mask]) > 0.5
  # Arguments stay as they were.
  np.testing.assert_array_equal(composite, before[0])
  np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("size", [(SIZE, SIZE), (100, 75)])
def test_guided_carries_the_networks_change(guided, apply, size):
  # Of flat colours nothing is lost on the way down.
  composite = np.full((*size, 3), (90, 140, 60), np.uint8)
  small = composite[:1, :1].repeat(SIZE, 0).repeat(SIZE, 1)
  output = apply(normalize(small[None]), jnp.ones((1, SIZE, SIZE, 1)))
  change = ((np.asarray(output)[0] + 1) * 127.5).clip(0, 255) - small
  result = guided.harmonize(composite, np.ones(size, bool)) - composite.astype(
    float
  )
  assert np.std(change, axis=(0, 1)).max() < 30  # else a poor comparison
  np.testing.assert_allclose(
    result.mean(axis=(0, 1)), change.mean(axis=(0, 1)), atol=4
  )


@pytest.mark.parametrize("size", [(16, 16), (24, 32)])
def test_direct_is_the_networks_output(direct, apply, size):
  composite, mask = photo(*size), middle(*size)
  image, region = normalize(composite[None]), jnp.float32(mask[None, ..., None])
  output = apply(image, region)
  expected = np.asarray(to_pixels(blend(output, image, region)))[0]
  assert np.abs(direct(composite, mask).astype(int) - expected).max() <= 1


def test_direct_pads_with_the_edge_and_crops(direct):
  composite, mask = photo(21, 30), middle(21, 30)
  padded = np.pad(composite, ((0, 3), (0, 2), (0, 0)), mode="edge")
  whole = direct(padded, np.pad(mask, ((0, 3), (0, 2))))
  np.testing.assert_array_equal(direct(composite, mask), whole[:21, :30])


def test_views_are_taken_as_they_are(guided):
  composite, mask = photo(32, 24)[::-1].swapaxes(0, 1), middle()
  result = guided(composite, mask)
  np.testing.assert_array_equal(result, guided(composite.copy(), mask))


def test_tiny_masks_and_those_of_everything_or_nothing(harmonizer):
  composite = photo(160, 200)
  full, pixel, vanishing, empty = np.zeros((4, 160, 200), bool)
  full[:] = True
  pixel[80, 100] = True
  vanishing[3:5, 4:6] = True  # no scaled mask holds it
  for mask in (full, pixel, vanishing, empty):
    # A cast of NaN would be a warning, which is an error here.
    result = harmonizer.harmonize(composite, mask)
    np.testing.assert_array_equal(result[~mask], composite[~mask])
    assert not np.shares_memory(result, composite)


def test_a_vanishing_object_is_seen_with_its_own_colour():
  composite = np.zeros((320, 480, 3), np.uint8)
  mask = np.zeros((320, 480), np.uint8)
  mask[200:202, 302:304] = 1
  composite[mask > 0] = (10, 200, 30)
  assert not mask[5::10, 7::15].any()  # what nearest takes
  small, small_mask = reduce(composite, mask, SIZE)
  assert small_mask.sum() == small_mask[20, 20] == 1
  np.testing.assert_array_equal(small[20, 20], (10, 200, 30))
  assert small[small_mask == 0].max() < 30  # the resized image


def test_the_network_sees_what_it_saw_in_training(tmp_path):
  composite, mask = photo(70, 50), middle(70, 50)
  Image.fromarray(composite).save(tmp_path / "image.png")
  Image.fromarray(mask).save(tmp_path / "mask.png")
  small, small_mask = reduce(composite, mask, SIZE)
  np.testing.assert_array_equal(small, read_image(tmp_path / "image.png", SIZE))
  np.testing.assert_array_equal(
    small_mask[..., None], read_mask(tmp_path / "mask.png", SIZE)
  )


def count_compiled(caplog) -> int:
  return sum(
    record.getMessage().startswith("Compiling ") for record in caplog.records
  )


@pytest.mark.parametrize(
  ("mode", "sizes"), [("guided", SIZES), ("direct", [(24, 32), (18, 27)])]
)
def test_sizes_that_need_no_new_compilation(network, caplog, mode, sizes):
  harmonizer = Harmonizer.from_pretrained(network, mode, engine="jax")
  with jax.log_compiles():
    harmonizer(photo(*sizes[0]), middle(*sizes[0]))
    first = count_compiled(caplog)
    for size in sizes[1:]:
      harmonizer(photo(*size), middle(*size))
  assert first > 0
  assert count_compiled(caplog) == first


def test_threads_share_one_program(network, caplog):
  harmonizer = Harmonizer.from_pretrained(network, engine="jax")
  pairs = [(photo(40, 50, seed), middle(40, 50)) for seed in range(8)]
  # `jax.log_compiles()` is about its own thread only.
  jax.config.update("jax_log_compiles", True)
  try:
    with ThreadPoolExecutor(4) as pool:
      results = list(pool.map(lambda pair: harmonizer(*pair), pairs))
  finally:
    jax.config.update("jax_log_compiles", False)
  assert count_compiled(caplog) == 1
  for pair, result in zip(pairs, results, strict=True):
    np.testing.assert_array_equal(harmonizer(*pair), result)


def test_batches_are_as_one_by_one(harmonizer):
  sizes = [(24, 32), (17, 31), (24, 30)] * 3
  pairs = [
    (in_depth(photo(*size, seed), list(WHITE)[seed % 4]), soft(*size))
    for seed, size in enumerate(sizes)
  ]
  pairs[2] = Image.fromarray(photo()), middle()
  pairs[4] = pairs[4][0], np.zeros(sizes[4])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", MaskWarning)
    results = harmonizer.batch(iter(pairs), strength=0.8, feather=1)
    assert len(results) == len(pairs)
    for pair, result in zip(pairs, results, strict=True):
      alone = harmonizer(*pair, strength=0.8, feather=1)
      assert type(alone) is type(result)
      alone, result = np.asarray(alone), np.asarray(result)
      assert alone.dtype == result.dtype
      white = WHITE[str(alone.dtype)]
      atol = max(1e-4 * white, 1) if white > 1 else 1e-4
      assert np.abs(alone - result.astype(float)).max() <= atol
  assert harmonizer.batch([]) == []


def test_it_can_be_pickled(harmonizer):
  expected = harmonizer(photo(), middle())
  for twin in (pickle.loads(pickle.dumps(harmonizer)), copy.copy(harmonizer)):
    assert (twin.mode, twin.image_size) == (harmonizer.mode, SIZE)
    np.testing.assert_array_equal(twin(photo(), middle()), expected)


def test_options_of_pretrained_weights(network):
  harmonizer = Harmonizer.from_pretrained(str(network))
  assert (harmonizer.image_size, harmonizer.mode) == (32, "guided")
  harmonizer = Harmonizer.from_pretrained(network, "direct", image_size=64)
  assert (harmonizer.image_size, harmonizer.mode) == (64, "direct")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"mode": "fast"}, "mode='fast' is none of"),
    ({"image_size": 100}, "no multiple of 8"),
    ({"image_size": 0}, "no multiple of 8"),
  ],
)
def test_bad_options_are_told(options, message):
  with pytest.raises(UserError, match=message):
    Harmonizer(None, **options)


@pytest.mark.parametrize(
  ("mask", "alpha", "message"),
  [
    (middle(9, 8), None, r"mask is \(8, 9\) .* not \(9, 8\)"),
    (middle(8, 9), np.ones((8, 9)), "alpha is of the composite's"),
    (middle(8, 9), np.zeros((9, 8), np.uint8), "alpha is of the composite's"),
  ],
)
def test_arrays_that_do_not_fit_are_told(guided, mask, alpha, message):
  with pytest.raises(UserError, match=message):
    guided.harmonize(photo(8, 9), mask, alpha=alpha)


def test_it_is_public_and_loads_no_training_library():
  assert hdnet_jax.Harmonizer is Harmonizer
  code = (
    "import sys, hdnet_jax; hdnet_jax.Harmonizer\n"
    "print({'grain', 'tensorflow_datasets', 'optax', 'orbax', 'clu', 'jax',"
    " 'flax', 'scipy', 'ml_collections', 'matplotlib'} & set(sys.modules))"
  )
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert run.stdout.strip() == "set()"
