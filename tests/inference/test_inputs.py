"""Kinds of composites and masks: arrays, PIL images, files, tensors."""

import io
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.images.transforms import inverse, turn
from hdnet_jax.inference.harmonizer import MaskWarning

from .conftest import middle, photo

SHAPE = 24, 32


@pytest.fixture(scope="module")
def expected(harmonizers) -> np.ndarray:
  return harmonizers["guided"](photo(), middle())


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pil_in_pil_out(guided, mode):
  image = Image.fromarray(photo())
  alpha = np.full(SHAPE, 200, np.uint8) if mode == "RGBA" else None
  if alpha is not None:  # visible everywhere
    image.putalpha(200)
  image.info["icc_profile"] = b"colours"
  result = guided(image, middle())
  assert result.mode == mode
  assert result.info["icc_profile"] == b"colours"
  samples = np.asarray(result)
  expected = guided.harmonize(photo(), middle(), alpha=alpha)
  np.testing.assert_array_equal(samples[..., :3], expected)
  if alpha is not None:
    np.testing.assert_array_equal(samples[..., 3], alpha)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "I;16B"])
def test_gray_images_stay_gray(guided, mode):
  gray = photo()[..., 0]
  if mode.startswith("I"):
    gray = gray.astype(np.uint16) * 250 + 3
    image = Image.fromarray(gray)
    if mode == "I;16B":
      image = Image.frombytes(mode, image.size, gray.astype(">u2").tobytes())
  else:
    image = Image.fromarray(gray).convert(mode)
  result = guided(image, middle())
  assert result.mode == mode.removesuffix("B")
  samples = np.asarray(result).reshape(*SHAPE, -1)[..., 0]
  np.testing.assert_array_equal(samples[~middle()], gray[~middle()])
  assert np.mean(samples != gray) > 0.1


@pytest.mark.parametrize(
  ("mode", "becomes"),
  [("P", "RGB"), ("CMYK", "RGB"), ("1", "RGB"), ("PA", "RGBA")],
)
def test_other_modes_become_colours(guided, mode, becomes):
  image = Image.fromarray(photo()).convert("P" if mode == "PA" else mode)
  result = guided(image.convert(mode), middle())
  assert result.mode == becomes
  kept = np.asarray(image.convert("RGB"))[~middle()]
  np.testing.assert_array_equal(np.asarray(result)[~middle()][:, :3], kept)


def test_paths_of_alpha_gray_and_16_bits(guided, tmp_path):
  image = Image.fromarray(photo())
  image.putalpha(Image.fromarray(np.uint8(200 * photo()[..., 0] / 255 + 1)))
  image.save(tmp_path / "alpha.png")
  result = guided(tmp_path / "alpha.png", middle())
  assert result.mode == "RGBA"
  np.testing.assert_array_equal(
    np.asarray(result)[..., 3], np.asarray(image)[..., 3]
  )
  gray = photo()[..., 0] * np.uint16(255)
  Image.fromarray(gray).save(tmp_path / "gray.png")
  result = guided(tmp_path / "gray.png", middle())
  assert result.mode == "I;16"
  np.testing.assert_array_equal(np.asarray(result)[~middle()], gray[~middle()])


def test_missing_files_are_told(guided, tmp_path):
  with pytest.raises(UserError, match=r"nowhere\.png"):
    guided(tmp_path / "nowhere.png", middle())
  with pytest.raises(UserError, match=r"nowhere\.png"):
    guided(photo(), tmp_path / "nowhere.png")


def test_the_composites_own_alpha_can_be_the_mask(guided, expected, tmp_path):
  alpha = np.uint8(255 * middle())
  rgba = np.dstack((photo(), alpha))
  path = tmp_path / "a.png"
  Image.fromarray(rgba).save(path)
  want = np.dstack((expected, alpha))
  for composite in (rgba, Image.fromarray(rgba), path):
    result = guided(composite, mask_from_alpha=True)
    np.testing.assert_array_equal(np.asarray(result), want)
  (result,) = guided.batch([(rgba, None)], mask_from_alpha=True)
  np.testing.assert_array_equal(result, want)
  with pytest.raises(ValueError, match="composite has no alpha"):
    guided(photo(), mask_from_alpha=True)
  with pytest.raises(ValueError, match="not both"):
    guided(rgba, middle(), mask_from_alpha=True)
  with pytest.raises(ValueError, match=r"not NoneType; .*mask_from_alpha=True"):
    guided(rgba)


def turned(samples: np.ndarray, orientation: int) -> Image.Image:
  """An image that is shown as the samples, and says so by its EXIF data."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  image = Image.fromarray(turn(samples, inverse(orientation)))
  image.info["exif"] = exif.tobytes()
  return image


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_masks_of_turned_photos_of_each_kind(guided, tmp_path, orientation):
  levels = np.uint8(255 * middle())
  levels[:6] = 255  # not the same after any turn
  want = guided(photo(), levels)
  image, mask = turned(photo(), orientation), turned(levels, orientation)
  path, mask_path = tmp_path / "a.png", tmp_path / "m.png"
  for picture, name in ((image, path), (mask, mask_path)):
    picture.save(name, exif=picture.info["exif"])
  plain = Image.fromarray(np.asarray(mask))
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", MaskWarning)
    for given in (mask, mask_path, levels, Image.fromarray(levels)):
      np.testing.assert_array_equal(guided(path, given), want)
    stored = turn(want, inverse(orientation))
    for given in (mask, mask_path, plain, np.asarray(mask)):
      result = np.asarray(guided(image, given)).astype(int)
      # The network is not the same after a turn: where it changes is.
      changed = (result != np.asarray(image)).any(-1)
      np.testing.assert_array_equal(
        changed, (stored != np.asarray(image)).any(-1)
      )
  if orientation >= 5:
    with pytest.warns(MaskWarning, match="is turned as that is") as record:
      np.testing.assert_array_equal(guided(path, plain), want)
    assert record[0].filename == __file__
  if orientation == 3:
    with pytest.warns(MaskWarning, match="taken to be upright already"):
      guided(path, levels)


def test_transparent_images_of_each_kind(guided, tmp_path):
  """Hidden black and hidden white give the same object."""
  alpha = np.full(SHAPE, 255, np.uint8)
  alpha[:, :6] = 0
  results = []
  for hidden in (0, 255):
    rgba = np.dstack((photo(), alpha))
    rgba[alpha == 0, :3] = hidden
    path = tmp_path / f"{hidden}.png"
    Image.fromarray(rgba).save(path)
    for composite in (rgba, Image.fromarray(rgba), path):
      result = np.asarray(guided(composite, middle()))
      np.testing.assert_array_equal(result[~middle()], rgba[~middle()])
      results.append(result[middle()])
  for result in results:
    np.testing.assert_array_equal(result, results[0])
  only = np.dstack((photo(), np.uint8(255 * middle())))
  with pytest.warns(MaskWarning, match="nothing to fit the object to"):
    np.testing.assert_array_equal(guided(only, middle()), only)
  with pytest.warns(MaskWarning, match="only what is transparent"):
    guided(only, ~middle())


class Tensor:
  """An array of another library, by one protocol."""

  def __init__(self, array: np.ndarray, protocol: str):
    methods = {
      "__array__": lambda self, *_, **__: array,
      "__dlpack__": lambda self, **options: array.__dlpack__(**options),
      "__dlpack_device__": lambda self: array.__dlpack_device__(),
    }
    names = {name for name in methods if protocol in name}
    self.__class__ = type("Tensor", (), {n: methods[n] for n in names})


@pytest.mark.parametrize("protocol", ["__array__", "dlpack"])
def test_tensors_of_other_libraries(guided, expected, protocol):
  composite = Tensor(photo(), protocol)
  mask = Tensor(np.int64(middle())[..., None].repeat(3, -1), protocol)
  result = guided(composite, mask)
  assert type(result) is np.ndarray
  np.testing.assert_array_equal(result, expected)


def test_arrays_of_jax_and_torch(guided, expected):
  result = guided(jnp.asarray(photo()), jnp.asarray(middle()))
  np.testing.assert_array_equal(result, expected)
  torch = pytest.importorskip("torch")
  tensor = torch.from_numpy(photo())
  mask = torch.from_numpy(middle())
  np.testing.assert_array_equal(guided(tensor, mask), expected)
  floats = (tensor / 255).requires_grad_()
  with pytest.raises(UserError, match=r"composite .*detach\(\)\.cpu\(\)"):
    guided(floats, mask)


def test_arrays_of_the_other_byte_order(guided):
  deep = photo().astype(np.uint16) * 257
  want = guided(deep, middle())
  result = guided(deep.astype(">u2"), middle().astype(">i4"))
  np.testing.assert_array_equal(result, want)


def test_files_and_bytes(guided, expected, tmp_path):
  composite, mask = tmp_path / "composite.png", tmp_path / "mask.png"
  Image.fromarray(photo()).save(composite)
  Image.fromarray(middle()).save(mask)
  data, mask_data = composite.read_bytes(), mask.read_bytes()
  with composite.open("rb") as file, mask.open("rb") as mask_file:
    results = [guided(file, mask_file)]
  results += [
    guided(composite, mask),
    guided(str(composite), str(mask)),
    guided(data, mask_data),
    guided(bytearray(data), memoryview(mask_data)),
    guided(io.BytesIO(data), io.BytesIO(mask_data)),
  ]
  for result in results:
    assert isinstance(result, Image.Image)
    np.testing.assert_array_equal(result, expected)
  with (
    composite.open(encoding="latin-1") as text,
    pytest.raises(UserError, match="opened as text; open it with mode 'rb'"),
  ):
    guided(text, mask)


HALF = np.full((8, 9, 3), 0.5)
SMALL, INSIDE = photo(8, 9), middle(8, 9)


@pytest.mark.parametrize(
  ("composite", "mask", "message"),
  [
    (3, INSIDE, "composite is a PIL image, an array, .* not int"),
    (b"", INSIDE, "the image is empty"),
    (Image.new("F", (9, 8)), INSIDE, "mode F has no known white"),
    (HALF + 1, INSIDE, "composite of float64 .* not 1.5 to 1.5; scale"),
    (HALF - 1, INSIDE, "in 0 to 1, not -0.5"),
    (HALF * np.nan, INSIDE, "in 0 to 1, not nan"),
    (HALF.astype(np.float16), INSIDE, "float64, not float16"),
    (SMALL.astype(int), INSIDE, "uint8, uint16, .* not int64"),
    (SMALL[..., 0], INSIDE, r"not \(8, 9\)"),
    (SMALL[..., :2], INSIDE, r"not \(8, 9, 2\)"),
    (SMALL.transpose(2, 0, 1), INSIDE, "channels come last"),
    (SMALL[:0], INSIDE[:0], r"composite has no pixels; .* \(0, 9, 3\)"),
    (np.array([]), INSIDE, r"composite has no pixels; .* \(0,\)"),
    (Image.new("RGB", (0, 3)), INSIDE, "composite has no pixels"),
    (SMALL, None, "mask is a PIL image, .* not NoneType"),
    (SMALL, middle(8, 8), "mask has 8x8 pixels and its image 9x8"),
    (SMALL, Image.new("L", (8, 8)), "has 8x8 pixels and its image 9x8"),
    (SMALL, INSIDE[:0], r"mask has no pixels; its shape is \(0, 9\)"),
    (SMALL, np.array([]), "mask has no pixels"),
    (SMALL, Image.new("L", (0, 3)), "mask has no pixels"),
    (SMALL, np.array(1), r"mask is \[height, width\], not \(\)"),
    (SMALL, SMALL, "mask has colours"),
    (SMALL, SMALL[..., [0] * 5], "1 to 4 channels, not 5"),
    (SMALL, INSIDE * 1.1, r"mask has .* \(0 to 1.1\); scale or"),
    (SMALL, HALF[..., 0] * np.nan, "mask has .* NaN"),
    (SMALL, INSIDE * 1j, "integers, or floats .* not complex"),
  ],
)
def test_bad_input_is_told(guided, composite, mask, message):
  with pytest.raises(UserError, match=message):
    guided(composite, mask)
