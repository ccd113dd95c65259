"""ONNX Runtime and JAX make the same picture; which of them is taken."""

import importlib.metadata
import pickle
import sys
import warnings

import jax
import numpy as np
import pytest
from skimage import data

from hdnet_jax import Harmonizer, weights
from hdnet_jax.app.cli import main
from hdnet_jax.errors import MissingLibrary, UserError
from hdnet_jax.inference import engine
from hdnet_jax.inference.engine_jax import JaxEngine
from hdnet_jax.inference.engine_onnxruntime import OnnxRuntimeEngine
from hdnet_jax.inference.harmonizer import SizeWarning
from hdnet_jax.onnx import network as graphs

OPTIONS = (
  {},
  {"strength": 0.35},
  {"feather": 3.0, "strength": 0.8},
  {"background": True},
)


def disc(height: int, width: int, reach: float = 0.6) -> np.ndarray:
  """float32 [H, W]: 1 in the middle, down to 0 at the edge of a disc."""
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  return np.clip(4 * (reach - np.hypot(y, x)), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def engines(network) -> list[dict[str, Harmonizer]]:
  """By mode, of a random network and of the released one, in both engines."""
  return [
    {
      name: Harmonizer.from_pretrained(of, mode, size, engine=name)
      for name in ("onnxruntime", "jax")
    }
    for of, size in ((network, 32), ("hdnet-lite", 64))
    for mode in ("guided", "direct")
  ]


def photos() -> list[np.ndarray]:
  """Parts of real photos, and noise; sides are no multiples of 8."""
  noise = np.random.default_rng(0).integers(0, 256, (61, 50, 3), np.uint8)
  return [
    data.astronaut()[40:223:3, 130:280:3],
    data.coffee()[50:294:4, 100:300:4],
    data.chelsea()[60:243:3, 120:270:3],
    noise,
  ]


def test_the_released_network_is_equal_to_rounding():
  """Means of 65,536 pixels, added one by one, differed by 6e-4."""
  loaded = weights.load("hdnet-lite")
  size = 256
  image = data.coffee()[:size, 100 : 100 + size].astype(np.float32) / 127.5 - 1
  mask = np.rint(disc(size, size))
  results = [
    make(loaded.params, loaded.model)(image[None], mask[None, ..., None])
    for make in (JaxEngine, OnnxRuntimeEngine.build)
  ]
  assert abs(results[0] - image).max() > 0.05
  np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_both_make_the_same_picture(engines, options):
  for pair in engines:
    for photo in photos():
      soft = disc(*photo.shape[:2])
      for mask in (soft, soft > 0.5):
        first, second = (
          pair[name](photo, mask, **options).astype(int) for name in pair
        )
        assert (first != photo).any()
        assert np.abs(first - second).max() <= 1


def test_batches_are_the_same_too(engines):
  for pair in engines[::2]:
    batch = [(photo, disc(*photo.shape[:2])) for photo in photos()]
    first, second = (pair[name].batch(batch) for name in pair)
    for a, b in zip(first, second, strict=True):
      assert np.abs(a.astype(int) - b).max() <= 1


def test_auto_takes_jax_where_it_has_an_accelerator(monkeypatch):
  assert engine.choose("auto") == "onnxruntime"  # JAX_PLATFORMS is cpu
  monkeypatch.delenv("JAX_PLATFORMS")
  monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: ["cuda"])
  assert engine.choose("auto") == "onnxruntime"
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert engine.choose("auto") == "jax"
  assert engine.choose("onnxruntime") == "onnxruntime"


def test_auto_takes_jax_where_it_is_alone(monkeypatch):
  monkeypatch.setitem(sys.modules, "onnxruntime", None)
  assert engine.choose("auto") == "jax"
  with pytest.raises(MissingLibrary, match=r"onnxruntime.*pip install \"\.\""):
    engine.choose("onnxruntime")
  monkeypatch.setitem(sys.modules, "jax", None)
  with pytest.raises(MissingLibrary, match=r"JAX.*pip install \"\.\[train\]"):
    engine.choose("jax")
  with pytest.raises(MissingLibrary, match="onnxruntime"):
    engine.choose("auto")
  with pytest.raises(UserError, match="engine='torch' is none of"):
    engine.choose("torch")


@pytest.fixture
def exported(network, tmp_path):
  """Writes an .onnx file of the small network."""

  def export(*flags: str) -> str:
    path = str(tmp_path / "x.onnx")
    main.main(["export", str(network), path, "--force", *flags])
    return path

  return export


@pytest.mark.parametrize("flags", [(), ("--size=32",), ("--uint8",)])
def test_an_exported_file_is_taken_as_weights(flags, exported, network):
  photo = photos()[0]
  mask = disc(*photo.shape[:2])
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    own = Harmonizer.from_pretrained(exported(*flags))
  assert own.image_size == 32  # the training's
  expected = Harmonizer.from_pretrained(network, engine="onnxruntime")(
    photo, mask
  )
  assert np.abs(own(photo, mask).astype(int) - expected).max() <= 1
  again = pickle.loads(pickle.dumps(own))
  np.testing.assert_array_equal(again(photo, mask), own(photo, mask))


def test_a_files_only_size_decides(exported):
  with pytest.warns(SizeWarning, match="64x64 only.*trained at 32x32") as told:
    own = Harmonizer.from_pretrained(exported("--size=64"))
  assert own.image_size == 64
  assert told[0].filename == __file__
  for options in ({"image_size": 32}, {"mode": "direct"}):
    with pytest.raises(UserError, match=r"64x64 only, not .*--size dynamic"):
      Harmonizer.from_pretrained(exported("--size=64"), **options)
  with pytest.raises(UserError, match="32x64 only, not squares"):
    Harmonizer.from_pretrained(exported("--size=32x64"))


def test_other_onnx_files_are_told(tmp_path, network):
  path = tmp_path / "y.onnx"
  with pytest.raises(UserError, match=r"y\.onnx is no file"):
    Harmonizer.from_pretrained(path)
  path.write_bytes(b"no graph")
  with pytest.raises(UserError, match=r"y\.onnx cannot be read as an ONNX"):
    Harmonizer.from_pretrained(path)
  loaded = weights.load(network)
  path.write_bytes(graphs.build(loaded.params, loaded.model))
  with pytest.raises(UserError, match=r"y\.onnx .* is not of hdnet_jax"):
    Harmonizer.from_pretrained(path)
  with pytest.raises(UserError, match="is for the engine onnxruntime, not"):
    Harmonizer.from_pretrained(path, engine="jax")
