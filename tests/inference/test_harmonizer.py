"""Sizes, depths, masks and options; kinds of images are in test_inputs."""

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
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.change import ChangeOptions
from hdnet_jax.inference.harmonizer import MaskWarning
from hdnet_jax.inference.modes import reduce
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.model.pixels import normalize, to_pixels

from .conftest import middle, photo

SIZE = 32
# As small as images are, odd, and far from a square.
SIZES = [(16, 16), (45, 61), (31, 2000), (400, 17)]
WHITE = {"uint8": 255, "uint16": 65535, "float32": 1, "float64": 1}


def soft(height: int = 24, width: int = 32) -> np.ndarray:
  """float32 [H, W]: 1 in the middle, down to 0 at the edge of a disc."""
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  return np.clip(2 - 2.5 * np.hypot(y, x), 0, 1).astype(np.float32)


def in_depth(image: np.ndarray, dtype: str) -> np.ndarray:
  """A uint8 image in another depth, with digits that uint8 has not."""
  noise = np.random.default_rng(5).uniform(0, 1, image.shape)
  exact = (image + noise) / 256 * WHITE[dtype]
  return (np.rint(exact) if WHITE[dtype] > 1 else exact).astype(dtype)


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


@pytest.mark.parametrize("dtype", WHITE)
def test_where_the_mask_is_0_every_bit_is_kept(harmonizer, dtype):
  rng = np.random.default_rng(7)
  for number, size in enumerate([(24, 32), (17, 31), (24, 30), (20, 26)]):
    composite = in_depth(photo(*size, seed=number), dtype)
    values = rng.uniform(0, 1, size) * (rng.uniform(size=size) > 0.4)
    masks = (
      values > 0.5,
      np.rint(255 * values).astype(np.uint8),
      values.astype(np.float32),
      values,
    )
    mask, outside = masks[number], masks[number] == 0
    change = ChangeOptions(rng.uniform(0.2, 1), rng.choice([0.0, 1.5]))
    result = harmonizer.harmonize(composite, mask, change)
    assert result.dtype == composite.dtype
    assert result[outside].tobytes() == composite[outside].tobytes()
    assert np.mean(result[~outside] != composite[~outside]) > 0.3
    assert result.min() >= 0
    assert result.max() <= WHITE[dtype]


@pytest.mark.parametrize("dtype", list(WHITE)[1:])
def test_depths_agree_and_keep_their_digits(harmonizer, dtype):
  # Of equal colours: in equal steps, which uint8 holds too.
  composite, mask = photo(), middle()
  deep = (composite * (WHITE[dtype] / 255)).astype(dtype)
  result = harmonizer(deep, mask) / WHITE[dtype] * 255
  assert np.abs(result - harmonizer(composite, mask))[mask].max() <= 0.51
  # More than 8 bits come back: not only multiples of a level.
  assert np.abs(result - np.rint(result))[mask].max() > 0.2


def test_digits_below_float32_stay_in_float64():
  composite = in_depth(photo(), "float64")
  maps = np.zeros((3, 4, 8, 8), np.float32)
  result = guided_filter.apply(maps, composite, middle())
  np.testing.assert_array_equal(result, composite)


@pytest.mark.parametrize("dtype", WHITE)
def test_strength_scales_the_change(harmonizer, dtype):
  composite, mask = in_depth(photo(), dtype), middle()
  none = harmonizer(composite, mask, strength=0)
  np.testing.assert_array_equal(none, composite)
  whole = harmonizer(composite, mask)
  half = composite + 0.5 * (whole.astype(float) - composite)
  atol = 1e-6 if WHITE[dtype] == 1 else 0.76
  result = harmonizer(composite, mask, strength=0.5)
  np.testing.assert_allclose(result, half, atol=atol)
  more = composite + 1.5 * (whole.astype(float) - composite)
  result = harmonizer(composite, mask, strength=1.5)
  atol = 1e-6 if WHITE[dtype] == 1 else 1.26  # 1.5 times what was rounded
  np.testing.assert_allclose(result, more.clip(0, WHITE[dtype]), atol=atol)
  assert (np.abs(result - whole.astype(float)) > 2 * atol).any()
  np.testing.assert_array_equal(result[~mask], composite[~mask])


def test_soft_masks_blend(harmonizer):
  composite, mask = in_depth(photo(), "float32"), soft()
  result = harmonizer(composite, mask)
  # Every pixel with the change of its own, so with the mask that is seen.
  inside = mask > 0.5
  hard = harmonizer(composite, inside)
  mixed = composite + mask[..., None] * (hard - composite)
  np.testing.assert_allclose(result[inside], mixed[inside], atol=1e-6)
  faint = (mask > 0) & ~inside
  assert faint.sum() > 50
  assert np.mean(result[faint] != composite[faint]) > 0.9
  assert (np.abs(result - composite).max(axis=-1) <= mask + 1e-6).all()


def test_a_feather_lets_the_change_rise(harmonizer):
  composite = photo() / 255
  mask = np.broadcast_to(np.arange(32) >= 16, (24, 32))
  whole = np.abs(harmonizer(composite, mask) - composite)
  result = np.abs(harmonizer(composite, mask, feather=4) - composite)
  np.testing.assert_allclose(result[:, 16], whole[:, 16] / 5, atol=1e-6)
  np.testing.assert_allclose(result[:, -1], whole[:, -1], atol=1e-6)


@pytest.mark.parametrize("mask", [middle(), soft()], ids=["hard", "soft"])
def test_the_background_can_change_instead(harmonizer, mask):
  composite, foreground = photo(), mask == 1
  result = harmonizer(composite, mask, background=True)
  np.testing.assert_array_equal(result[foreground], composite[foreground])
  assert np.mean(result[~foreground] != composite[~foreground]) > 0.5
  other = ~mask if mask.dtype == bool else 1 - mask
  np.testing.assert_array_equal(result, harmonizer(composite, other))


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_mask_of_nothing_is_reported(guided, background, level):
  with pytest.warns(MaskWarning, match="nothing is changed") as record:
    result = guided(photo(), np.full((24, 32), level), background=background)
  assert len(record) == 1
  assert record[0].filename == __file__
  np.testing.assert_array_equal(result, photo())


def test_a_mask_of_almost_everything_is_reported(guided):
  mask = np.ones((24, 32), bool)
  mask[0, :20] = False
  with pytest.warns(MaskWarning, match=r"covers 97.4% of the image") as record:
    result = guided(photo(), mask)
  assert len(record) == 1
  assert np.mean(result != photo()) > 0.5
  with pytest.warns(MaskWarning, match="covers 100.0%"):
    result = guided(photo(), mask | True, background=True)
  np.testing.assert_array_equal(result, photo())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_transparent_does_not_matter(harmonizer, dtype):
  """Whatever colour it hides, the result is the same where it shows."""
  white = WHITE[dtype]
  composite = (photo(40, 50) * (white / 255)).astype(dtype)
  mask = middle(40, 50)
  alpha = np.full((40, 50), white, dtype)
  alpha[:, :7] = alpha[-9:] = 0
  alpha[:, 7] = white // 2 or 0.5
  alpha[18:22, 20:24] = 0  # a hole in the object
  visible, results = alpha > 0, []
  for hidden in (0, white // 3 or 0.3, white):
    composite[~visible] = hidden
    result = harmonizer.harmonize(composite, mask, alpha=alpha)
    assert (result[mask & visible] != composite[mask & visible]).any()
    np.testing.assert_array_equal(result[~mask], composite[~mask])
    results.append(result[visible])
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[0], results[2])
  full = np.full_like(alpha, white)
  np.testing.assert_array_equal(
    harmonizer.harmonize(composite, mask),
    harmonizer.harmonize(composite, mask, alpha=full),
  )


def test_without_a_visible_background_it_is_a_copy(harmonizer):
  composite, mask = photo(40, 50), middle(40, 50)
  alpha = np.uint8(255 * mask)
  for visible, change in (
    (alpha, ChangeOptions()),
    (alpha, ChangeOptions(background=True)),
    (255 - alpha, ChangeOptions()),
  ):
    result = harmonizer.harmonize(composite, mask, change, visible)
    np.testing.assert_array_equal(result, composite)


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
