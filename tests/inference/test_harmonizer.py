import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hdnet_jax.inference.reduction import reduced

from hdnet_jax.config import ModelConfig
from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.harmonizer import SizedNetwork
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.model.pixels import normalize, to_pixels

SIZE, MODEL = 32, ModelConfig(width=2)
# As small as images are, odd, and far from a square.
SIZES = [(16, 16), (45, 61), (31, 2000), (400, 17)]


pytestmark = pytest.mark.usefixtures("unoptimized")


@functools.cache
def params() -> dict:
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  key = jax.random.key(0)
  shapes = jax.eval_shape(HDNet(width=2).init, key, image, mask)["params"]
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: 0.2 * rng.normal(size=leaf.shape).astype(np.float32), shapes
  )


@functools.cache
def harmonizer(mode: str = "guided") -> SizedNetwork:
  return SizedNetwork(params(), MODEL, SIZE, mode)


@jax.jit
def network(image: jax.Array, mask: jax.Array) -> jax.Array:
  return HDNet(width=2).apply({"params": params()}, image, mask)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def middle(height: int, width: int) -> np.ndarray:
  mask = np.zeros((height, width), np.uint8)
  mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = 1
  return mask


@pytest.mark.parametrize(
  ("mode", "size"),
  [("direct", (16, 16)), ("direct", (18, 27))]
  + [("guided", size) for size in SIZES],
)
def test_the_background_is_a_copy_and_the_object_changes(mode, size):
  composite, mask = photo(*size), middle(*size)
  before = composite.copy(), mask.copy()
  result = harmonizer(mode)(composite, mask)
  assert result.dtype == np.uint8
  assert result.shape == composite.shape
  outside = mask == 0
  np.testing.assert_array_equal(result[outside], composite[outside])
  assert np.mean(result[~outside] != composite[~outside]) > 0.5
  # Arguments stay as they were.
  np.testing.assert_array_equal(composite, before[0])
  np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("size", [(SIZE, SIZE), (100, 75)])
def test_guided_carries_the_networks_change(size):
  # Of flat colours nothing is lost on the way down.
  composite = np.empty((*size, 3), np.uint8)
  composite[:] = (90, 140, 60)
  mask = np.ones(size, np.uint8)
  small = composite[:1, :1].repeat(SIZE, 0).repeat(SIZE, 1)
  ones = jnp.ones((1, SIZE, SIZE, 1))
  output = network(normalize(small[None]), ones)
  change = (np.asarray(output)[0] + 1) * 127.5 - small
  result = harmonizer()(composite, mask).astype(float) - composite
  assert np.std(change, axis=(0, 1)).max() < 30  # else a poor comparison
  np.testing.assert_allclose(
    result.mean(axis=(0, 1)), change.mean(axis=(0, 1)), atol=4
  )


@pytest.mark.parametrize("size", [(16, 16), (24, 32)])
def test_direct_is_the_networks_output(size):
  composite, mask = photo(*size), middle(*size)
  image, region = normalize(composite[None]), mask[None, ..., None]
  output = network(image, jnp.float32(region))
  expected = np.asarray(to_pixels(blend(output, image, region)))[0]
  result = harmonizer("direct")(composite, mask).astype(int)
  assert np.abs(result - expected).max() <= 1


def test_direct_pads_with_the_edge_and_crops():
  composite, mask = photo(21, 30), middle(21, 30)
  padded = np.pad(composite, ((0, 3), (0, 2), (0, 0)), mode="edge")
  whole = harmonizer("direct")(padded, np.pad(mask, ((0, 3), (0, 2))))
  np.testing.assert_array_equal(
    harmonizer("direct")(composite, mask), whole[:21, :30]
  )


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_masks_of_every_kind_of_type(mode):
  composite, mask = photo(24, 32), middle(24, 32)
  expected = harmonizer(mode)(composite, mask)
  for other in (mask[..., None], mask > 0, (mask > 0)[..., None]):
    np.testing.assert_array_equal(harmonizer(mode)(composite, other), expected)


def test_views_are_taken_as_they_are():
  composite, mask = photo(32, 24)[::-1].swapaxes(0, 1), middle(24, 32)
  np.testing.assert_array_equal(
    harmonizer()(composite, mask), harmonizer()(composite.copy(), mask)
  )


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_an_empty_mask_gives_the_input(mode):
  composite = photo(24, 32)
  result = harmonizer(mode)(composite, np.zeros((24, 32), np.uint8))
  np.testing.assert_array_equal(result, composite)
  assert not np.shares_memory(result, composite)


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_full_and_tiny_masks(mode):
  # Beside an object so small that no scaled mask holds it.
  composite = photo(160, 200)
  pixel, vanishing = (np.zeros((160, 200), np.uint8) for _ in range(2))
  pixel[80, 100] = 1
  vanishing[3:5, 4:6] = 1
  for mask in (np.ones_like(pixel), pixel, vanishing):
    # A cast of NaN would be a warning, which is an error here.
    result = harmonizer(mode)(composite, mask)
    outside = mask == 0
    np.testing.assert_array_equal(result[outside], composite[outside])


def test_a_vanishing_object_is_seen_with_its_own_colour():
  composite = np.zeros((320, 480, 3), np.uint8)
  mask = np.zeros((320, 480), np.uint8)
  mask[200:202, 302:304] = 1
  composite[mask > 0] = (10, 200, 30)
  assert not mask[5::10, 7::15].any()  # what nearest takes
  small, small_mask = reduced(composite, mask, SIZE)
  assert small_mask.sum() == 1
  assert small_mask[20, 20] == 1
  np.testing.assert_array_equal(small[20, 20], (10, 200, 30))
  assert small[small_mask == 0].max() < 30  # the resized image


def test_the_network_sees_what_it_saw_in_training(tmp_path):
  from PIL import Image

  from hdnet_jax.data.examples import read_image, read_mask

  composite, mask = photo(70, 50), middle(70, 50)
  Image.fromarray(composite).save(tmp_path / "image.png")
  Image.fromarray(mask * 255).save(tmp_path / "mask.png")
  small, small_mask = reduced(composite, mask, SIZE)
  np.testing.assert_array_equal(small, read_image(tmp_path / "image.png", SIZE))
  np.testing.assert_array_equal(
    small_mask[..., None], read_mask(tmp_path / "mask.png", SIZE)
  )


def test_guided_is_compiled_once_for_all_sizes(caplog):
  one = SizedNetwork(params(), MODEL, SIZE)
  with jax.log_compiles():
    one(photo(16, 16), middle(16, 16))
    first = count_compiled(caplog)
    for size in SIZES[1:]:
      one(photo(*size), middle(*size))
  assert first > 0
  assert count_compiled(caplog) == first


def test_direct_is_compiled_once_a_padded_size(caplog):
  one = SizedNetwork(params(), MODEL, SIZE, "direct")
  with jax.log_compiles():
    one(photo(24, 32), middle(24, 32))
    first = count_compiled(caplog)
    one(photo(18, 27), middle(18, 27))
  assert first > 0
  assert count_compiled(caplog) == first


def count_compiled(caplog) -> int:
  return sum(
    record.getMessage().startswith("Compiling ") for record in caplog.records
  )


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_the_same_again(mode):
  composite, mask = photo(45, 61), middle(45, 61)
  other = SizedNetwork(params(), MODEL, SIZE, mode)
  np.testing.assert_array_equal(
    harmonizer(mode)(composite, mask), other(composite, mask)
  )


def soft(height: int, width: int) -> np.ndarray:
  """float32 [H, W]: 1 in the middle, down to 0 at the edge of a disc."""
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  return np.clip(2 - 2.5 * np.hypot(y, x), 0, 1).astype(np.float32)


def in_depth(image: np.ndarray, dtype: str) -> np.ndarray:
  """Of uint8, with digits that uint8 has not."""
  rng = np.random.default_rng(5)
  exact = (image + rng.uniform(0, 1, image.shape)) / 256
  if dtype.startswith("float"):
    return exact.astype(dtype)
  return np.rint(exact * np.iinfo(dtype).max).astype(dtype)


def peak(dtype: str) -> float:
  return 1.0 if dtype.startswith("float") else float(np.iinfo(dtype).max)


DTYPES = ("uint8", "uint16", "float32", "float64")


@pytest.mark.parametrize("mode", ["guided", "direct"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_where_the_mask_is_0_every_bit_is_kept(mode, dtype):
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
    mask = masks[number]
    strength, feather = rng.uniform(0.2, 1), rng.choice([0.0, 1.5])
    result = harmonizer(mode)(composite, mask, strength, feather)
    assert result.dtype == composite.dtype
    outside = mask == 0
    assert result[outside].tobytes() == composite[outside].tobytes()
    assert np.mean(result[~outside] != composite[~outside]) > 0.3
    assert result.min() >= 0
    assert result.max() <= peak(dtype)


@pytest.mark.parametrize("mode", ["guided", "direct"])
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_depths_agree_and_keep_their_digits(mode, dtype):
  # Of equal colours: in equal steps, which uint8 holds too.
  composite, mask = photo(24, 32), middle(24, 32)
  eight = harmonizer(mode)(composite, mask)
  deep = (composite * (peak(dtype) / 255)).astype(dtype)
  result = harmonizer(mode)(deep, mask) / peak(dtype) * 255
  assert np.abs(result - eight)[mask > 0].max() <= 0.51
  # More than 8 bits come back: not only multiples of a level.
  assert np.abs(result - np.rint(result))[mask > 0].max() > 0.2


def test_digits_below_float32_stay_in_float64():
  composite, mask = in_depth(photo(24, 32), "float64"), middle(24, 32)
  maps = np.zeros((3, 4, 8, 8), np.float32)
  result = guided_filter.apply(maps, composite, mask)
  np.testing.assert_array_equal(result, composite)


@pytest.mark.parametrize("mode", ["guided", "direct"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_scales_the_change(mode, dtype):
  composite, mask = in_depth(photo(24, 32), dtype), middle(24, 32)
  run = harmonizer(mode)
  np.testing.assert_array_equal(run(composite, mask, 0.0), composite)
  whole = run(composite, mask)
  np.testing.assert_array_equal(run(composite, mask, 1.0), whole)
  kept = composite.astype(float)
  half = kept + 0.5 * (whole - kept)
  atol = 1e-6 if dtype.startswith("float") else 0.76
  np.testing.assert_allclose(run(composite, mask, 0.5), half, atol=atol)


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_soft_masks_blend(mode):
  composite, mask = in_depth(photo(24, 32), "float32"), soft(24, 32)
  result = harmonizer(mode)(composite, mask)
  # Every pixel with the change of its own, so with the mask that is seen.
  hard = harmonizer(mode)(composite, mask > 0.5)
  inside = mask > 0.5
  mixed = composite + mask[..., None] * (hard - composite)
  np.testing.assert_allclose(result[inside], mixed[inside], atol=1e-6)
  faint = (mask > 0) & ~inside
  assert faint.sum() > 50
  assert np.mean(result[faint] != composite[faint]) > 0.9
  change = np.abs(result - composite).max(axis=-1)
  assert (change <= mask + 1e-6).all()


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_of_0_and_1_soft_masks_are_hard(mode):
  composite = in_depth(photo(24, 32), "float32")
  mask = middle(24, 32)
  expected = harmonizer(mode)(composite, mask)
  for other in (mask * 255, mask * 1.0, mask.astype(np.float32)):
    np.testing.assert_array_equal(harmonizer(mode)(composite, other), expected)


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_many_are_as_one_by_one(mode):
  sizes = [(24, 32), (17, 31), (24, 30)] * 3
  pairs = []
  for seed, size in enumerate(sizes):
    image = in_depth(photo(*size, seed), DTYPES[seed % 4])
    pairs.append((image, soft(*size)))
  pairs[4] = pairs[4][0], np.zeros(sizes[4])
  results = harmonizer(mode).many(pairs, 0.8, 1)
  assert len(results) == len(pairs)
  for (composite, mask), result in zip(pairs, results, strict=True):
    one = harmonizer(mode)(composite, mask, 0.8, 1)
    assert one.dtype == result.dtype
    white = peak(str(one.dtype))
    atol = max(1e-4 * white, 1) if white > 1 else 1e-4
    assert np.abs(one - result.astype(float)).max() <= atol
  assert harmonizer(mode).many([]) == []


def test_threads_share_one_program(caplog):
  one = SizedNetwork(params(), MODEL, SIZE)
  pairs = [(photo(40, 50, seed), middle(40, 50)) for seed in range(8)]
  # `jax.log_compiles()` is about its own thread only.
  jax.config.update("jax_log_compiles", True)
  try:
    with ThreadPoolExecutor(4) as pool:
      results = list(pool.map(lambda pair: one(*pair), pairs))
  finally:
    jax.config.update("jax_log_compiles", False)
  assert count_compiled(caplog) == 1
  for pair, result in zip(pairs, results, strict=True):
    np.testing.assert_array_equal(one(*pair), result)


HALF = np.full((8, 9, 3), 0.5)


@pytest.mark.parametrize(
  ("composite", "mask", "message"),
  [
    (HALF + 1, middle(8, 9), "composite of float64 .* not 1.5 to 1.5; scale"),
    (HALF - 1, middle(8, 9), "in 0 to 1, not -0.5"),
    (HALF * np.nan, middle(8, 9), "in 0 to 1, not nan"),
    (HALF.astype(np.float16), middle(8, 9), "float64, not float16"),
    (photo(8, 9).astype(int), middle(8, 9), "uint8, uint16, .* not int64"),
    (photo(8, 9)[..., 0], middle(8, 9), r"not \(8, 9\)"),
    (photo(8, 9)[..., :2], middle(8, 9), r"not \(8, 9, 2\)"),
    (photo(8, 9)[:0], middle(8, 9)[:0], r"no pixels; .* \(0, 9, 3\)"),
    (photo(8, 9), middle(9, 8), r"mask is \(8, 9\) .* not \(9, 8\)"),
    (photo(8, 9), photo(8, 9), "mask has colours"),
    (photo(8, 9), photo(8, 9)[..., [0] * 5], "1 to 4 channels, not 5"),
    (photo(8, 9), middle(8, 9) * 1.1, r"mask has .* \(0 to 1.1\); scale or"),
    (photo(8, 9), HALF[..., 0] * np.nan, "mask has .* NaN"),
    (photo(8, 9), middle(8, 9) * 1j, "integers, or floats .* not complex"),
  ],
)
def test_bad_input_is_told(composite, mask, message):
  with pytest.raises(ValueError, match=message):
    harmonizer()(composite, mask)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_bad_strengths_are_told(strength):
  with pytest.raises(ValueError, match=r"strength=.* is not in 0 to 1"):
    harmonizer()(photo(8, 9), middle(8, 9), strength)


@pytest.mark.parametrize("feather", [-1, float("inf"), float("nan")])
def test_bad_feathers_are_told(feather):
  with pytest.raises(ValueError, match=r"feather=.* is not a number of pixels"):
    harmonizer()(photo(8, 9), middle(8, 9), 1.0, feather)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"mode": "fast"}, "mode='fast' is none of"),
    ({"image_size": 100}, "no multiple of 8"),
    ({"image_size": 0}, "no multiple of 8"),
  ],
)
def test_bad_options_are_told(options, message):
  with pytest.raises(ValueError, match=message):
    SizedNetwork(params(), MODEL, **options)


def test_training_libraries_are_not_loaded():
  import subprocess
  import sys

  code = (
    "import sys, hdnet_jax.inference.harmonizer\n"
    "print({'grain', 'tensorflow_datasets', 'optax', 'orbax', 'clu'}"
    " & set(sys.modules))"
  )
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert run.stdout.strip() == "set()"


@pytest.mark.parametrize("mode", ["guided", "direct"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_is_transparent_does_not_matter(mode, dtype):
  """Whatever colour it hides, the result is the same where it shows."""
  white = np.iinfo(dtype).max if dtype != np.float32 else 1
  composite = (photo(40, 50) * (white / 255)).astype(dtype)
  mask = middle(40, 50) > 0
  alpha = np.full((40, 50), white, dtype)
  alpha[:, :7] = alpha[-9:] = 0
  alpha[:, 7] = white // 2 or 0.5
  alpha[18:22, 20:24] = 0  # a hole in the object
  results = []
  for hidden in (0, white // 3 or 0.3, white):
    composite[alpha == 0] = hidden
    result = harmonizer(mode)(composite, mask, alpha=alpha)
    assert (result[mask & (alpha > 0)] != composite[mask & (alpha > 0)]).any()
    np.testing.assert_array_equal(result[~mask], composite[~mask])
    results.append(result[alpha > 0])
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[0], results[2])
  opaque = harmonizer(mode)(composite, mask)
  full = harmonizer(mode)(composite, mask, alpha=np.full_like(alpha, white))
  np.testing.assert_array_equal(opaque, full)


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_without_a_visible_background_it_is_a_copy(mode):
  composite, mask = photo(40, 50), middle(40, 50) > 0
  alpha = np.uint8(255 * mask)
  for background in (False, True):
    result = harmonizer(mode)(
      composite, mask, background=background, alpha=alpha
    )
    np.testing.assert_array_equal(result, composite)
  np.testing.assert_array_equal(
    harmonizer(mode)(composite, mask, alpha=255 - alpha), composite
  )


def test_alpha_of_another_kind_is_told():
  for alpha in (np.ones((8, 9)), np.zeros((9, 8), np.uint8)):
    with pytest.raises(ValueError, match="alpha is of the composite's"):
      harmonizer()(photo(8, 9), middle(8, 9), alpha=alpha)
