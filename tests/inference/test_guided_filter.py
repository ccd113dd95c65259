import numpy as np
import pytest
from PIL import Image

from hdnet_jax.inference import guided_filter

GAIN = np.array([[0.85, 0.1, 0.0], [0.0, 1.1, -0.05], [0.05, 0.0, 0.7]])
OFFSET = np.array([0.05, -0.02, 0.08])


def recolor(image: np.ndarray) -> np.ndarray:
  """A known affine change of colours, of float [..., 3]; colour to colour."""
  return image @ GAIN.T + OFFSET


def photo(rng, height: int, width: int) -> np.ndarray:
  """uint8 [H, W, 3] with structure at every scale, away from 0 and 255."""
  image = np.full((height, width, 3), 128.0)
  for scale in (1, 5, 40):
    shape = (-(-height // scale), -(-width // scale), 3)
    coarse = rng.uniform(-30, 30, shape)
    image += np.kron(coarse, np.ones((scale, scale, 1)))[:height, :width]
  return image.astype(np.uint8)


def small(image: np.ndarray, size: int) -> np.ndarray:
  """Float [size, size, 3] in [0, 1]."""
  resized = Image.fromarray(image).resize(
    (size, size), Image.Resampling.BILINEAR
  )
  return np.asarray(resized) / 255


def disc(height: int, width: int) -> np.ndarray:
  """uint8 [H, W]: an ellipse in the middle."""
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  return (y**2 + x**2 < 0.5).astype(np.uint8)


def nearest(mask: np.ndarray, size: int) -> np.ndarray:
  return np.asarray(
    Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST)
  )


def carry(image, change, size=64) -> np.ndarray:
  """The image after a change of its copy [size, size], float or array."""
  change = np.broadcast_to(change, (size, size, 3))
  maps = guided_filter.fit(small(image, size), change, np.ones((size, size)))
  return guided_filter.apply(maps, image, np.ones(image.shape[:2], bool))


# Larger and smaller than the small image, odd, and one far from a square.
SIZES = [(150, 203), (257, 129), (16, 16), (31, 2000), (2000, 31)]


@pytest.mark.parametrize("size", SIZES)
def test_a_known_change_of_colours_is_carried_over(rng, size):
  image, mask = photo(rng, *size), disc(*size)
  seen, weights = small(image, 64), nearest(mask, 64)
  # Outside of the object is a change that must not leak in.
  change = np.where(weights[..., None], recolor(seen) - seen, 0.5)
  result = guided_filter.apply(
    guided_filter.fit(seen, change, weights), image, mask
  )
  inside = mask > 0
  error = result[inside] - recolor(image[inside] / 255.0) * 255
  assert np.abs(error).max() <= 1
  np.testing.assert_array_equal(result[~inside], image[~inside])


@pytest.mark.parametrize("size", SIZES)
def test_no_change_is_an_exact_copy(rng, size):
  image = photo(rng, *size)
  result = carry(image, 0.0)
  np.testing.assert_array_equal(result, image)
  assert result is not image


def test_changes_end_at_an_edge():
  """A red and a green half change otherwise; each keeps its own to the edge."""
  height, width = 256, 320
  image = np.empty((height, width, 3), np.uint8)
  image[:, :163], image[:, 163:] = (180, 60, 60), (60, 150, 60)
  seen = small(image, 64)
  # The network's change follows the object's parts as the small image has them.
  share = (seen[..., :1] - 60 / 255) / (120 / 255)
  red, green = np.array([0.1, 0.05, -0.1]), np.array([-0.1, 0.1, 0.05])
  change = share * red + (1 - share) * green
  result = carry(image, change)
  expected = image + 255 * np.where(np.arange(width)[:, None] < 163, red, green)
  assert np.abs(result - expected).max() <= 1.5


def test_a_local_change_stays_local(rng):
  image = photo(rng, 256, 256)
  change = np.zeros((64, 64, 3))
  change[:32] = 0.2  # a shadow's edge that colours do not tell
  result = carry(image, change).astype(int)
  far = 4 * (2 * guided_filter.RADIUS + 2)
  difference = (result - image).mean(axis=1)
  np.testing.assert_allclose(difference[: 128 - far], 51, atol=2)
  np.testing.assert_allclose(difference[128 + far :], 0, atol=2)


def test_detail_is_neither_blurred_nor_made():
  """What the small image does not show of the large one is kept."""
  image = np.full((256, 256, 3), 120, np.uint8)
  image[::2, ::2] = 140
  result = carry(image, 0.1, size=32)
  np.testing.assert_allclose(result.astype(int) - image, 25.5, atol=0.5)


def test_results_are_clipped(rng):
  image = photo(rng, 20, 30)
  assert (carry(image, 2.0, size=16) == 255).all()
  assert (carry(image, -2.0, size=16) == 0).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pixels_make_finite_maps(rng, count):
  weights = np.zeros((32, 32))
  weights.flat[[5, 6, 900][:count]] = 1
  change = np.where(weights[..., None] > 0, 0.1, 7.0) * np.ones(3)
  maps = guided_filter.fit(rng.uniform(size=(32, 32, 3)), change, weights)
  assert maps.shape == (3, 4, 32, 32)
  assert maps.dtype == np.float32
  # A constant change is no change by colour; without an object there is none.
  np.testing.assert_allclose(maps[:, :3], 0, atol=1e-5)
  np.testing.assert_allclose(maps[:, 3], 0.1 if count else 0, atol=1e-5)


def test_maps_reach_parts_that_the_small_mask_missed(rng):
  image = photo(rng, 256, 256)
  mask = np.zeros((256, 256), np.uint8)
  mask[100:200, 100:200] = 1
  mask[150, :] = 1  # a wire, thinner than a small pixel
  seen, weights = small(image, 32), np.zeros((32, 32))
  weights[13:25, 13:25] = 1
  maps = guided_filter.fit(seen, np.full((32, 32, 3), 0.1), weights)
  result = guided_filter.apply(maps, image, mask).astype(int)
  np.testing.assert_allclose((result - image)[mask > 0], 25.5, atol=0.5)


def test_blocks_and_threads_do_not_show(rng):
  image, mask = photo(rng, 301, 203), disc(301, 203)
  maps = rng.uniform(-0.1, 0.1, (3, 4, 64, 64)).astype(np.float32)

  def apply(block_pixels: int) -> np.ndarray:
    return guided_filter.apply(maps, image, mask, block_pixels=block_pixels)

  whole, blocks = apply(10**6), apply(1000)
  # Float32 positions: a pixel may round to the other side.
  assert np.abs(blocks.astype(int) - whole).max() <= 1
  assert np.mean(blocks != whole) < 1e-3
  np.testing.assert_array_equal(apply(1000), blocks)


def test_maps_are_stretched_with_half_pixel_centres():
  maps = np.zeros((3, 4, 2, 2), np.float32)
  maps[:, 3] = np.array([[0, 0.4], [0.4, 0.8]])
  image = np.zeros((8, 8, 3), np.uint8)
  result = guided_filter.apply(maps, image, np.ones((8, 8), bool))
  ramp = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1)
  expected = 255 * 0.4 * (ramp[:, None] + ramp)
  assert np.abs(result[..., 0] - expected).max() <= 0.51


@pytest.mark.parametrize(
  ("dtype", "white"),
  [("uint8", 255), ("uint16", 65535), ("float32", 1), ("float64", 1)],
)
def test_every_depth_has_its_own_white(rng, dtype, white):
  image = (photo(rng, 20, 30) / 255 * white).astype(dtype)
  maps = np.zeros((3, 4, 8, 8), np.float32)
  maps[:, 3] = 0.25
  result = guided_filter.apply(maps, image, np.ones((20, 30), bool))
  assert result.dtype == dtype
  expected = np.minimum(image + 0.25 * white, white)
  atol = 0.51 if white > 1 else 1e-6
  np.testing.assert_allclose(result, expected, atol=atol)


def test_other_types_have_no_white():
  with pytest.raises(ValueError, match="uint16, float32, float64, not int32"):
    guided_filter.white_level(np.dtype(np.int32))


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_mixed_by_mask_and_strength(rng, strength):
  image, changed = rng.uniform(size=(2, 20, 30, 3))
  mask = rng.uniform(size=(20, 30)).astype(np.float32)
  mask[:5] = 0
  # What is changed is clipped first: a soft edge of it is not too bright.
  changed[10:] += 1
  result = guided_filter.mix(
    image, mask, lambda part: np.moveaxis(changed[part], -1, 0).copy(), strength
  )
  share = strength * mask[..., None].astype(float)
  expected = share * np.minimum(changed, 1) + (1 - share) * image
  np.testing.assert_allclose(result, expected, atol=1e-7)
  np.testing.assert_array_equal(result[:5], image[:5])


@pytest.mark.parametrize(
  ("dtype", "white"), [("uint8", 255), ("uint16", 65535), ("float64", 1)]
)
def test_a_strength_above_1_goes_further_and_is_clipped(dtype, white):
  # In 5ths of white, each beside what strength 1.5 makes of it by hand.
  image = np.array([[1, 1, 4, 2, 3, 1]])
  changed = np.array([[3, 2, 5.5, 1, 0, 3]])
  mask = np.array([[1, 1, 1, 1, 1, 0]], bool)
  expected = np.array([[4, 2.5, 5, 0.5, 0, 1]])

  def mixed(mask: np.ndarray) -> np.ndarray:
    levels = (white * image / 5).astype(dtype)
    return guided_filter.mix(
      np.stack([levels] * 3, -1),
      mask,
      lambda part: [white * changed[part] / 5 for _ in range(3)],
      strength=1.5,
    )

  atol = 0.51 if white > 1 else 1e-7
  result = mixed(mask)
  assert result.dtype == dtype
  np.testing.assert_allclose(result[..., 0], white * expected / 5, atol=atol)
  np.testing.assert_array_equal(result[..., 0], result[..., 2])
  # Half a mask is three quarters of the change; what is changed is clipped.
  expected = image + 0.75 * (np.clip(changed, 0, 5) - image)
  result = mixed(np.full(mask.shape, 0.5, np.float32))
  np.testing.assert_allclose(result[..., 1], white * expected / 5, atol=atol)


@pytest.mark.parametrize("corner", [(0, 0), (23, 31), (28, 38)])
def test_what_is_far_from_the_object_does_not_matter(rng, corner):
  height, width = 32, 36
  image, change = rng.random((2, height, width, 3))
  weights = np.zeros((height, width))
  weights[8:24, 8:28] = rng.random((16, 20))
  part = tuple(
    slice(start, start + side)
    for start, side in zip(corner, (height, width), strict=True)
  )
  larger = [rng.random((60, 74, 3)) for _ in range(2)] + [np.zeros((60, 74))]
  for array, own in zip(larger, (image, change, weights), strict=True):
    array[part] = own
  inside = weights > 0
  np.testing.assert_allclose(
    guided_filter.fit(*larger)[:, :, *part][..., inside],
    guided_filter.fit(image, change, weights)[..., inside],
    atol=1e-6,
  )
