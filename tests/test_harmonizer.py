"""The public class: kinds of input and output, options, weights."""

import copy
import dataclasses
import functools
import hashlib
import io
import json
import pathlib
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
from hdnet_jax import released, weights
from hdnet_jax.config import Config, DataConfig, ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.harmonizer import Harmonizer, MaskWarning
from hdnet_jax.images.transforms import inverse, turn
from hdnet_jax.model.hdnet import HDNet

SIZE, MODEL, SHAPE = 32, ModelConfig(width=2), (24, 40)


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
def harmonizer(mode: str = "guided") -> Harmonizer:
  return Harmonizer(params(), MODEL, SIZE, mode)


def photo(shape: tuple = SHAPE, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (*shape, 3), np.uint8)


def middle(shape: tuple = SHAPE) -> np.ndarray:
  """bool [H, W]."""
  height, width = shape
  mask = np.zeros(shape, bool)
  mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
  return mask


def ramp(shape: tuple = SHAPE) -> np.ndarray:
  """float32 [H, W], from 0 to 1 with some of both."""
  row = np.clip(np.linspace(-0.5, 1.5, shape[1]), 0, 1).astype(np.float32)
  return np.broadcast_to(row, shape).copy()


@functools.cache
def expected() -> np.ndarray:
  return harmonizer()(photo(), middle())


def test_arrays_in_arrays_out():
  for dtype in (np.uint8, np.uint16, np.float32, np.float64):
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    composite = (photo() * (white / 255)).astype(dtype)
    result = harmonizer()(composite, middle())
    assert result.dtype == dtype
    assert result.shape == composite.shape
    outside = ~middle()
    assert result[outside].tobytes() == composite[outside].tobytes()
    levels = result / white * 255
    assert np.abs(levels - expected())[middle()].max() <= 0.51


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pil_in_pil_out(mode):
  image = Image.fromarray(photo())
  if mode == "RGBA":  # visible everywhere
    image.putalpha(200)
  image.info["icc_profile"] = b"colours"
  result = harmonizer()(image, middle())
  assert result.mode == mode
  assert result.info["icc_profile"] == b"colours"
  samples = np.asarray(result)
  atol = 1 if mode == "RGBA" else 0  # alpha weighs colours, in floats
  wanted = expected().astype(int)
  np.testing.assert_allclose(samples[..., :3], wanted, atol=atol)
  if mode == "RGBA":
    np.testing.assert_array_equal(samples[..., 3], np.asarray(image)[..., 3])


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "I;16B"])
def test_gray_images_stay_gray(mode):
  gray = photo()[..., 0]
  if mode.startswith("I"):
    gray = gray.astype(np.uint16) * 250 + 3
    image = Image.fromarray(gray)
    if mode == "I;16B":
      image = Image.frombytes(mode, image.size, gray.astype(">u2").tobytes())
  else:
    image = Image.fromarray(gray).convert(mode)
  result = harmonizer()(image, middle())
  assert result.mode == mode.removesuffix("B")
  samples = np.asarray(result).reshape(*SHAPE, -1)[..., 0]
  np.testing.assert_array_equal(samples[~middle()], gray[~middle()])
  assert np.mean(samples != gray) > 0.1


@pytest.mark.parametrize(
  ("mode", "becomes"),
  [("P", "RGB"), ("CMYK", "RGB"), ("1", "RGB"), ("PA", "RGBA")],
)
def test_other_modes_become_colours(mode, becomes):
  image = Image.fromarray(photo()).convert("P" if mode == "PA" else mode)
  result = harmonizer()(image.convert(mode), middle())
  assert result.mode == becomes
  kept = np.asarray(image.convert("RGB"))[~middle()]
  np.testing.assert_array_equal(np.asarray(result)[~middle()][:, :3], kept)


def write(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  composite, mask = folder / "composite.png", folder / "mask.png"
  Image.fromarray(photo()).save(composite)
  Image.fromarray(middle()).save(mask)
  return composite, mask


def test_paths_give_images(tmp_path):
  composite, mask = write(tmp_path)
  for paths in ((composite, mask), (str(composite), str(mask))):
    result = harmonizer()(*paths)
    assert isinstance(result, Image.Image)
    np.testing.assert_array_equal(np.asarray(result), expected())


def test_paths_of_alpha_gray_and_16_bits(tmp_path):
  image = Image.fromarray(photo())
  image.putalpha(Image.fromarray(np.uint8(200 * ramp() + 1)))
  image.save(tmp_path / "alpha.png")
  result = harmonizer()(tmp_path / "alpha.png", middle())
  assert result.mode == "RGBA"
  np.testing.assert_array_equal(
    np.asarray(result)[..., 3], np.asarray(image)[..., 3]
  )
  gray = photo()[..., 0] * np.uint16(255)
  Image.fromarray(gray).save(tmp_path / "gray.png")
  result = harmonizer()(tmp_path / "gray.png", middle())
  assert result.mode == "I;16"
  np.testing.assert_array_equal(np.asarray(result)[~middle()], gray[~middle()])


def test_missing_files_are_told(tmp_path):
  with pytest.raises(UserError, match=r"nowhere\.png"):
    harmonizer()(tmp_path / "nowhere.png", middle())
  with pytest.raises(UserError, match=r"nowhere\.png"):
    harmonizer()(photo(), tmp_path / "nowhere.png")


def masks_of_each_kind() -> dict:
  mask = middle()
  white = Image.new("RGB", SHAPE[::-1], "white")
  cutout, black = white.copy(), Image.new("RGB", SHAPE[::-1])
  for image in (cutout, black):
    image.putalpha(Image.fromarray(np.uint8(mask * 255)))
  return {
    "bool": mask,
    "0 and 1": mask.astype(np.uint8),
    "0 and 255": np.uint8(mask * 255)[..., None],
    "float": mask.astype(float),
    "1": Image.fromarray(mask),
    "L": Image.fromarray(np.uint8(mask * 255)),
    "RGB": Image.fromarray(np.uint8(mask * 255)).convert("RGB"),
    "I;16": Image.fromarray(np.uint16(mask * 65535)),
    "F": Image.fromarray(mask.astype(np.float32)),
    "cutout": cutout,
    "black cutout": black,
  }


@pytest.mark.parametrize("kind", masks_of_each_kind())
def test_masks_of_each_kind(kind):
  mask = masks_of_each_kind()[kind]
  np.testing.assert_array_equal(harmonizer()(photo(), mask), expected())


@pytest.mark.parametrize("mode", ["guided", "direct"])
def test_soft_masks_strength_and_feather(mode):
  composite, mask, run = photo() / 255.0, ramp(), harmonizer(mode)
  result = run(composite, mask)
  np.testing.assert_array_equal(result[mask == 0], composite[mask == 0])
  whole = run(composite, mask > 0.5)
  inside = mask > 0.5
  mixed = composite + mask[..., None] * (whole - composite)
  np.testing.assert_allclose(result[inside], mixed[inside], atol=1e-6)
  half = run(composite, mask, strength=0.5)
  np.testing.assert_allclose(
    half - composite, (result - composite) / 2, 1e-4, 1e-6
  )
  np.testing.assert_array_equal(run(composite, mask, strength=0), composite)
  feathered = np.abs(run(composite, inside, feather=4) - composite)
  step = np.abs(whole - composite)
  first = np.flatnonzero(inside[0])[0]
  np.testing.assert_allclose(feathered[:, first], step[:, first] / 5, atol=1e-6)
  np.testing.assert_allclose(feathered[:, -1], step[:, -1], atol=1e-6)


@pytest.mark.parametrize("mode", ["guided", "direct"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_background_can_change_instead(mode, soft):
  composite, mask = photo(), ramp() if soft else middle()
  result = harmonizer(mode)(composite, mask, background=True)
  foreground = mask == 1
  np.testing.assert_array_equal(result[foreground], composite[foreground])
  assert np.mean(result[~foreground] != composite[~foreground]) > 0.5
  other = ~mask if mask.dtype == bool else 1 - mask
  swapped = harmonizer(mode)(composite, other)
  np.testing.assert_array_equal(result, swapped)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_a_mask_of_nothing_is_reported(background, level):
  with pytest.warns(MaskWarning, match="nothing is changed") as record:
    result = harmonizer()(photo(), np.full(SHAPE, level), background=background)
  assert len(record) == 1
  assert record[0].filename == __file__
  np.testing.assert_array_equal(result, photo())


def test_a_mask_of_almost_everything_is_reported():
  mask = np.ones(SHAPE, bool)
  mask[0, :20] = False
  with pytest.warns(MaskWarning, match=r"covers 97.9% of the image") as record:
    result = harmonizer()(photo(), mask)
  assert len(record) == 1
  np.testing.assert_array_equal(result[~mask], photo()[~mask])
  assert np.mean(result != photo()) > 0.5
  with pytest.warns(MaskWarning, match="covers 100.0%"):
    result = harmonizer()(photo(), mask | True, background=True)
  np.testing.assert_array_equal(result, photo())


def test_batches_are_as_one_by_one(tmp_path):
  shapes = [(24, 40), (17, 31), (30, 24)]
  pairs = [(photo(shapes[n % 3], n), middle(shapes[n % 3])) for n in range(10)]
  pairs[2] = Image.fromarray(pairs[2][0]), pairs[2][1]
  pairs[3] = write(tmp_path)
  pairs[9] = pairs[9][0] / 255.0, pairs[9][1]
  results = harmonizer().batch(iter(pairs), strength=0.7, feather=1)
  assert len(results) == 10
  for pair, result in zip(pairs, results, strict=True):
    one = harmonizer()(*pair, strength=0.7, feather=1)
    assert type(one) is type(result)
    one, result = np.asarray(one), np.asarray(result)
    assert one.dtype == result.dtype
    atol = 1 if one.dtype == np.uint8 else 1e-4
    np.testing.assert_allclose(result.astype(float), one, atol=atol)
  assert harmonizer().batch([]) == []


def test_threads():
  pairs = [(photo(seed=n), middle()) for n in range(8)]
  one = Harmonizer(params(), MODEL, SIZE)
  with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(lambda pair: one(*pair), pairs))
  for pair, result in zip(pairs, results, strict=True):
    np.testing.assert_array_equal(harmonizer()(*pair), result)


@pytest.mark.parametrize(
  ("composite", "mask", "options", "message"),
  [
    (3, middle(), {}, "composite is a PIL image, an array, .* not int"),
    (photo(), None, {}, "mask is a PIL image, .* not NoneType"),
    (photo() * 1.0, middle(), {}, "in 0 to 1"),
    (photo(), middle((8, 8)), {}, "mask has 8x8 pixels and its image 40x24"),
    (photo(), Image.new("L", (8, 8)), {}, "has 8x8 pixels and its image 40x24"),
    (Image.new("F", (8, 8)), middle((8, 8)), {}, "mode F has no known white"),
    (photo(), middle(), {"strength": 2}, "strength=2 is not in 0 to 1"),
    (photo(), middle(), {"feather": -1}, "feather=-1 is not"),
  ],
)
def test_bad_input_is_told(composite, mask, options, message):
  with pytest.raises(ValueError, match=message):
    harmonizer()(composite, mask, **options)


def save(path: pathlib.Path, **provenance: str) -> pathlib.Path:
  weights.save(path, params(), MODEL, provenance)
  return path


def test_from_a_weights_file(tmp_path):
  file = save(tmp_path / "some.safetensors", image_size="32")
  for name in (file, str(file)):
    one = Harmonizer.from_pretrained(name)
    assert (one.image_size, one.mode) == (32, "guided")
  np.testing.assert_array_equal(one(photo(), middle()), expected())
  other = Harmonizer.from_pretrained(file, mode="direct", image_size=64)
  assert (other.image_size, other.mode) == (64, "direct")
  silent = save(tmp_path / "silent.safetensors")
  assert Harmonizer.from_pretrained(silent).image_size == 256
  odd = save(tmp_path / "odd.safetensors", image_size="large")
  with pytest.raises(UserError, match="image_size='large', which is no size"):
    Harmonizer.from_pretrained(odd)
  with pytest.raises(ValueError, match="mode='fast'"):
    Harmonizer.from_pretrained(file, mode="fast")


def test_from_a_workdir(tmp_path):
  from hdnet_jax.training.checkpoint import Checkpoints
  from hdnet_jax.training.state import initial_state, make_optimizer

  config = Config(model=MODEL, data=DataConfig(image_size=32))
  with pytest.raises(UserError, match="holds no run; train one"):
    Harmonizer.from_pretrained(tmp_path)
  (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
  optimizer = make_optimizer(config.optimizer, 1.0)
  # Of zeros: an initial state would have to be compiled.
  shapes = jax.eval_shape(lambda: initial_state(config, optimizer))
  state = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, leaf.dtype),
    dataclasses.replace(shapes, key=jnp.int32(0)),
  )
  state = dataclasses.replace(
    state, step=np.int32(3), params=params(), key=jax.random.key(0)
  )
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(jax.device_put(state))
  one = Harmonizer.from_pretrained(str(tmp_path))
  assert one.image_size == 32
  np.testing.assert_array_equal(one(photo(), middle()), expected())


@pytest.mark.parametrize("name", ["hdnet-large", "runs/nowhere"])
def test_without_weights_it_says_how_to_get_them(name, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(UserError) as caught:
    Harmonizer.from_pretrained(name)
  message = str(caught.value)
  assert "\n" not in message
  for part in (
    repr(name),
    "released are hdnet-lite; train some",
    "python train.py --config=configs/quickstart.py",
    "hdnet export-weights",
  ):
    assert part in message


def test_a_missing_file_is_told(tmp_path):
  with pytest.raises(UserError, match=r"no.safetensors is no file; write one"):
    Harmonizer.from_pretrained(tmp_path / "no.safetensors")


@pytest.fixture
def package(monkeypatch, tmp_path) -> pathlib.Path:
  """The file of a package whose only released weights are these."""
  monkeypatch.setattr(released.resources, "files", lambda package: tmp_path)
  (tmp_path / "pretrained").mkdir()
  file = save(tmp_path / "pretrained" / "small.safetensors", image_size="32")
  digest = hashlib.sha256(file.read_bytes()).hexdigest()
  monkeypatch.setattr(released, "RELEASED", {"small": digest})
  return file


def test_released_weights_are_found_by_name(package):
  one = Harmonizer.from_pretrained("small")
  np.testing.assert_array_equal(one(photo(), middle()), expected())


def test_damaged_released_weights_are_refused(package):
  data = bytearray(package.read_bytes())
  data[-1] ^= 1  # a valid file, but for one weight
  package.write_bytes(data)
  with pytest.raises(UserError, match=r"small.safetensors.* has the sha256"):
    Harmonizer.from_pretrained("small")
  package.unlink()
  with pytest.raises(UserError, match="is missing; install hdnet-jax again"):
    Harmonizer.from_pretrained("small")


def test_every_released_file_is_known():
  folder = pathlib.Path(hdnet_jax.__file__).parent / "pretrained"
  names = {path.name for path in folder.iterdir()}
  assert names == {f"{name}.safetensors" for name in released.RELEASED}
  for path in folder.iterdir():
    assert path.stat().st_size <= 3e6


def test_it_is_public_and_loads_no_training_library():
  assert hdnet_jax.Harmonizer is Harmonizer
  code = (
    "import sys, hdnet_jax; hdnet_jax.Harmonizer\n"
    "print({'grain', 'tensorflow_datasets', 'optax', 'orbax', 'clu',"
    " 'ml_collections', 'matplotlib'} & set(sys.modules))"
  )
  run = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert run.stdout.strip() == "set()"


def test_the_composites_own_alpha_can_be_the_mask(tmp_path):
  alpha = np.uint8(255 * middle())
  rgba = np.dstack((photo(), alpha))
  path = tmp_path / "a.png"
  Image.fromarray(rgba).save(path)
  want = np.dstack((expected(), alpha))
  for composite in (rgba, Image.fromarray(rgba), path):
    result = harmonizer()(composite, mask_from_alpha=True)
    np.testing.assert_array_equal(np.asarray(result), want)
  (result,) = harmonizer().batch([(rgba, None)], mask_from_alpha=True)
  np.testing.assert_array_equal(result, want)
  with pytest.raises(ValueError, match="composite has no alpha"):
    harmonizer()(photo(), mask_from_alpha=True)
  with pytest.raises(ValueError, match="not both"):
    harmonizer()(rgba, middle(), mask_from_alpha=True)
  with pytest.raises(ValueError, match=r"not NoneType; .*mask_from_alpha=True"):
    harmonizer()(rgba)


def turned(samples: np.ndarray, orientation: int) -> Image.Image:
  """An image that is shown as the samples, and says so by its EXIF data."""
  exif = Image.Exif()
  exif[0x0112] = orientation
  image = Image.fromarray(turn(samples, inverse(orientation)))
  image.info["exif"] = exif.tobytes()
  return image


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_masks_of_turned_photos_of_each_kind(tmp_path, orientation):
  levels = np.uint8(255 * middle())
  levels[:6] = 255  # not the same after any turn
  want = harmonizer()(photo(), levels)
  image, mask = turned(photo(), orientation), turned(levels, orientation)
  path, mask_path = tmp_path / "a.png", tmp_path / "m.png"
  for picture, name in ((image, path), (mask, mask_path)):
    picture.save(name, exif=picture.info["exif"])
  plain = Image.fromarray(np.asarray(mask))
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", MaskWarning)
    for given in (mask, mask_path, levels, Image.fromarray(levels)):
      np.testing.assert_array_equal(harmonizer()(path, given), want)
    stored = turn(want, inverse(orientation))
    for given in (mask, mask_path, plain, np.asarray(mask)):
      result = np.asarray(harmonizer()(image, given)).astype(int)
      # The network is not the same after a turn: where it changes is.
      changed = (result != np.asarray(image)).any(-1)
      np.testing.assert_array_equal(
        changed, (stored != np.asarray(image)).any(-1)
      )
  if orientation >= 5:
    with pytest.warns(MaskWarning, match="is turned as that is") as record:
      np.testing.assert_array_equal(harmonizer()(path, plain), want)
    assert record[0].filename == __file__
  if orientation == 3:
    with pytest.warns(MaskWarning, match="taken to be upright already"):
      harmonizer()(path, levels)


def test_transparent_images_of_each_kind(tmp_path):
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
      result = np.asarray(harmonizer()(composite, middle()))
      np.testing.assert_array_equal(result[~middle()], rgba[~middle()])
      results.append(result[middle()])
  for result in results:
    np.testing.assert_array_equal(result, results[0])
  only = np.dstack((photo(), np.uint8(255 * middle())))
  with pytest.warns(MaskWarning, match="nothing to fit the object to"):
    np.testing.assert_array_equal(harmonizer()(only, middle()), only)
  with pytest.warns(MaskWarning, match="only what is transparent"):
    harmonizer()(only, ~middle())


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
def test_tensors_of_other_libraries(protocol):
  composite = Tensor(photo(), protocol)
  mask = Tensor(np.int64(middle())[..., None].repeat(3, -1), protocol)
  result = harmonizer()(composite, mask)
  assert type(result) is np.ndarray
  np.testing.assert_array_equal(result, expected())


def test_arrays_of_jax_and_torch():
  result = harmonizer()(jnp.asarray(photo()), jnp.asarray(middle()))
  np.testing.assert_array_equal(result, expected())
  torch = pytest.importorskip("torch")
  tensor = torch.from_numpy(photo())
  mask = torch.from_numpy(middle())
  np.testing.assert_array_equal(harmonizer()(tensor, mask), expected())
  floats = (tensor / 255).requires_grad_()
  with pytest.raises(UserError, match=r"composite .*detach\(\)\.cpu\(\)"):
    harmonizer()(floats, mask)
  with pytest.raises(UserError, match="channels come last"):
    harmonizer()(tensor.permute(2, 0, 1), mask)


def test_arrays_of_the_other_byte_order():
  deep = photo().astype(np.uint16) * 257
  want = harmonizer()(deep, middle())
  result = harmonizer()(deep.astype(">u2"), middle().astype(">i4"))
  np.testing.assert_array_equal(result, want)


def test_files_and_bytes(tmp_path):
  composite, mask = write(tmp_path)
  want = np.asarray(harmonizer()(composite, mask))
  data, mask_data = composite.read_bytes(), mask.read_bytes()
  with composite.open("rb") as file, mask.open("rb") as mask_file:
    results = [harmonizer()(file, mask_file)]
  results += [
    harmonizer()(str(composite), str(mask)),
    harmonizer()(data, mask_data),
    harmonizer()(bytearray(data), memoryview(mask_data)),
    harmonizer()(io.BytesIO(data), io.BytesIO(mask_data)),
  ]
  for result in results:
    assert isinstance(result, Image.Image)
    np.testing.assert_array_equal(result, want)
  with (
    composite.open(encoding="latin-1") as text,
    pytest.raises(UserError, match="opened as text; open it with mode 'rb'"),
  ):
    harmonizer()(text, mask)


def test_it_can_be_pickled():
  for mode in ("guided", "direct"):
    one = harmonizer(mode)
    want = one(photo(), middle())
    again = pickle.loads(pickle.dumps(one))
    assert (again.mode, again.image_size) == (mode, SIZE)
    np.testing.assert_array_equal(again(photo(), middle()), want)
    np.testing.assert_array_equal(copy.deepcopy(one)(photo(), middle()), want)


@pytest.mark.parametrize(
  ("composite", "mask", "message"),
  [
    (photo()[:0], middle()[:0], r"composite has no pixels; .* \(0, 40, 3\)"),
    (np.array([]), middle(), r"composite has no pixels; .* \(0,\)"),
    (photo(), middle()[:0], r"mask has no pixels; its shape is \(0, 40\)"),
    (photo(), np.array([]), "mask has no pixels"),
    (photo(), Image.new("L", (0, 3)), "mask has no pixels"),
    (Image.new("RGB", (0, 3)), middle(), "composite has no pixels"),
    (photo(), np.array(1), r"mask is \[height, width\], not \(\)"),
    (b"", middle(), "the image is empty"),
  ],
)
def test_empty_input_is_told(composite, mask, message):
  with pytest.raises(UserError, match=message):
    harmonizer()(composite, mask)
