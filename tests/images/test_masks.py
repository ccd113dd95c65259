"""One rule for masks, whichever way they come in."""

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.data import examples
from hdnet_jax.errors import UserError
from hdnet_jax.images import masks
from hdnet_jax.images.mask_reading import read_mask
from hdnet_jax.inference.inputs import Composite, open_mask

SHAPE = (16, 24)


def box() -> np.ndarray:
  """uint8 0/1 [H, W]."""
  mask = np.zeros(SHAPE, np.uint8)
  mask[4:12, 6:20] = 1
  return mask


def opened(mask) -> np.ndarray:
  """The mask as the Python call takes it."""
  composite = Composite(np.zeros((*SHAPE, 3), np.uint8), None, None)
  return open_mask(mask, composite)[0]


def palette(mask: np.ndarray, white: int) -> Image.Image:
  image = Image.fromarray(mask).convert("P")
  image.putpalette([0, 0, 0, *[white] * 3])
  return image


def opaque(mask: np.ndarray) -> Image.Image:
  image = Image.fromarray(mask).convert("RGB")
  image.putalpha(255)
  return image


# Of 0/1 masks, images that hold them: 1 is white, or 255 is.
FORMS = {
  "gray": lambda mask: Image.fromarray(mask),
  "RGB": lambda mask: Image.fromarray(mask).convert("RGB"),
  "RGBA": opaque,
  "LA": lambda mask: opaque(mask).convert("LA"),
  "palette": lambda mask: palette(mask, 1),
  "one bit": lambda mask: Image.fromarray(mask > 0),
  "16 bits": lambda mask: Image.fromarray(mask.astype(np.uint16)),
  "16 bits to 255": lambda mask: Image.fromarray(np.uint16(255) * mask),
  "32 bits": lambda mask: Image.fromarray(mask.astype(np.int32)),
  "32 bits to 255": lambda mask: Image.fromarray(np.int32(255) * mask),
  "floats": lambda mask: Image.fromarray(mask.astype(np.float32)),
  "255": lambda mask: Image.fromarray(255 * mask),
}


def saved(folder, image: Image.Image):
  path = folder / ("mask.tif" if image.mode in ("I", "F") else "mask.png")
  image.save(path)
  return path


@pytest.mark.parametrize("form", FORMS)
def test_masks_of_0_and_1_are_taken_alike_by_all(tmp_path, form):
  image = FORMS[form](box())
  path = saved(tmp_path, image)
  from_file, notes = read_mask(path, image.size)
  for mask in (
    from_file,
    opened(path),
    opened(image),
    examples.mask_pixels(examples.gray(image))[..., 0],
  ):
    np.testing.assert_array_equal(mask, box())
  side = 2 * SHAPE[0]
  mask = Image.fromarray(box()).resize((side, side), Image.Resampling.NEAREST)
  np.testing.assert_array_equal(examples.read_mask(path, side)[..., 0], mask)
  # What is not as in most files is said.
  said = " ".join(notes)
  usual = form in ("one bit", "floats", "255")
  assert ("1 is white" in said) == (not usual and not form.endswith(" 255"))
  assert ("255 is white" in said) == form.endswith(" 255")


@pytest.mark.parametrize("form", FORMS)
def test_black_masks_are_black_in_every_form(tmp_path, form):
  image = FORMS[form](np.zeros(SHAPE, np.uint8))
  mask, notes = read_mask(saved(tmp_path, image), image.size)
  assert not mask.any()
  assert notes == []
  assert not np.any(examples.gray(image))


INTEGERS = [
  np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)
]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_arrays_of_any_integer_type(dtype):
  most = np.iinfo(dtype).max
  for white in {1, min(255, most), min(65535, most)}:
    mask = box().astype(dtype) * np.array(white, dtype)
    np.testing.assert_array_equal(opened(mask), box())
    three = np.repeat(mask[..., None], 3, axis=-1)
    np.testing.assert_array_equal(opened(three), box())
  if most > 65535:
    with pytest.raises(UserError, match=r"0 to 65536, .* save it in 8 bits"):
      opened(box().astype(dtype) * 65536)
  if dtype.kind == "i":
    with pytest.raises(UserError, match="has values of -1 to 0"):
      opened(-box().astype(dtype))


def test_arrays_of_bools_and_floats():
  np.testing.assert_array_equal(opened(box() > 0), box())
  np.testing.assert_array_equal(opened(box() / 2), box() / 2)


def test_what_belongs_to_white_masks_has_no_white_of_1():
  mask, _ = masks.values("mask", box(), ones=False)
  np.testing.assert_allclose(mask, box() / 255, atol=1e-7)


def test_colours_are_refused_by_all(tmp_path):
  image = Image.new("RGB", SHAPE[::-1], "red")
  image.paste("blue", (0, 0, 8, 8))
  path = saved(tmp_path, image)
  for take in (
    lambda: read_mask(path, image.size),
    lambda: opened(path),
    lambda: opened(image),
    lambda: opened(np.asarray(image)),
    lambda: examples.read_mask(path, 8),
  ):
    with pytest.raises(UserError, match=r"has colours .* must be gray"):
      take()


def cutout(rng, gray: bool = False) -> tuple[Image.Image, np.ndarray]:
  """A photo of noise cut out by alpha, and that alpha."""
  photo = rng.integers(40, 210, (*SHAPE, 3)).astype(np.uint8)
  alpha = 255 * box()
  alpha[4] = alpha[4] // 2  # a soft edge
  image = Image.fromarray(photo)
  if gray:
    image = image.convert("L")
  image.putalpha(Image.fromarray(alpha))
  return image, alpha


@pytest.mark.parametrize("gray", [False, True])
def test_of_a_cutout_the_alpha_is_the_mask_for_all(tmp_path, rng, gray):
  image, alpha = cutout(rng, gray)
  path = saved(tmp_path, image)
  from_file, notes = read_mask(path, image.size)
  for mask in (
    from_file,
    opened(path),
    opened(image),
    opened(np.asarray(image)),
  ):
    np.testing.assert_allclose(mask, alpha / 255, atol=1e-6)
  assert notes == [f"Of {path} the alpha channel is the mask."]
  over_half = examples.mask_pixels(examples.gray(image))[..., 0]
  np.testing.assert_array_equal(over_half, alpha > 127)


def test_a_drawn_mask_with_alpha_is_both(rng):
  drawing = np.where(rng.random(SHAPE) > 0.5, 255, 0).astype(np.uint8)
  image = Image.fromarray(drawing)
  image.putalpha(Image.fromarray(255 * box()))
  mask = opened(image)
  np.testing.assert_array_equal(mask, (drawing / 255) * box())
  ones = np.where(box() > 0, drawing // 255, 255)  # hidden values are none
  image = Image.fromarray(ones.astype(np.uint8))
  image.putalpha(Image.fromarray(255 * box()))
  np.testing.assert_array_equal(opened(image), (drawing / 255) * box())
