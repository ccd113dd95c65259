"""Depths, strengths, soft masks and transparency."""

import numpy as np
import pytest

from hdnet_jax.inference import guided_filter
from hdnet_jax.inference.change import ChangeOptions
from hdnet_jax.inference.harmonizer import MaskWarning

from .conftest import WHITE, in_depth, middle, photo, soft


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
