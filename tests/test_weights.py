"""Weights files."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

import hdnet_jax
from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.architecture import parameter_shapes

TINY = ModelConfig(width=2)
PROVENANCE = {"run": "tiny", "step": "7"}
SETTINGS = {name: getattr(TINY, name) for name in weights.NETWORK}
COUNT = 59  # tensors of a network


@functools.cache
def params_of(model: ModelConfig = TINY) -> dict:
  """Random in every leaf: zeros would hide mixed-up biases."""
  rng = np.random.default_rng(0)
  shapes = parameter_shapes(model)
  flat = {name: rng.normal(size=shapes[name]) for name in shapes}
  flat = {name: leaf.astype(np.float32) for name, leaf in flat.items()}
  return traverse_util.unflatten_dict(flat, sep="/")


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def assert_equal(first: dict, second: dict) -> None:
  assert jax.tree.structure(first) == jax.tree.structure(second)
  jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
  path = tmp_path / "tiny.safetensors"
  weights.save(path, params_of(), TINY, PROVENANCE)
  return path


def rewrite(path: pathlib.Path, tensors=(), metadata=()) -> None:
  """Changes entries of a good file; None removes one."""
  arrays = dict(safetensors.numpy.load_file(path)) | dict(tensors)
  with safetensors.safe_open(path, "numpy") as file:
    words = file.metadata() | dict(metadata)
  arrays = {name: array for name, array in arrays.items() if array is not None}
  words = {name: word for name, word in words.items() if word is not None}
  # A new file: the arrays may be views of the old one.
  path.write_bytes(safetensors.numpy.save(arrays, words))


def message(path: pathlib.Path | str) -> str:
  """The one line that loading `path` ends in."""
  with pytest.raises(UserError) as error:
    weights.load(path)
  text = str(error.value)
  assert str(path) in text
  assert len(text.splitlines()) == 1
  assert len(text) < 500
  return text


@pytest.mark.parametrize(
  "model",
  [
    TINY,
    ModelConfig(width=1, local_dynamics="official"),
    ModelConfig(width=1, neighbors=3, global_dynamics="learned_mask"),
    ModelConfig(1, local_dynamics="none", global_dynamics="none"),
    ModelConfig(1, global_dynamics="spatial_attention"),
  ],
)
def test_round_trip_is_bitwise(model, tmp_path):
  path = tmp_path / "new/folder/w.safetensors"
  weights.save(path, params_of(model), model, PROVENANCE)
  params, found, provenance = weights.load(path)
  assert_equal(params, params_of(model))
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("f4")}
  assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
  assert found == model
  assert provenance == PROVENANCE
  assert names(path.parent) == ["w.safetensors"]


def test_how_the_network_was_run_is_not_kept(tmp_path):
  path = tmp_path / "w.safetensors"
  run = dataclasses.replace(TINY, dtype="bfloat16", remat=True)
  weights.save(path, params_of(), run)
  assert weights.load(path)[1:] == (TINY, {})


def test_settings_that_define_the_network():
  # A new one is in files from then on, and older files lack it: give the
  # format a new version and `load` the value that older files mean.
  assert weights.NETWORK == (
    "width",
    "local_dynamics",
    "neighbors",
    "global_dynamics",
  )


def test_bfloat16_is_half_the_file_and_close(path, tmp_path):
  small = tmp_path / "small.safetensors"
  weights.save(small, params_of(), TINY, dtype="bfloat16")
  params, _, _ = weights.load(small)
  for leaf, exact in zip(
    jax.tree.leaves(params), jax.tree.leaves(params_of()), strict=True
  ):
    assert leaf.dtype == np.float32
    np.testing.assert_allclose(leaf, exact, rtol=2**-8, atol=0)
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  header = len(small.read_bytes()) - 2 * count
  assert 0 < header < 8000
  assert abs(len(path.read_bytes()) - 4 * count - header) < 500


@pytest.mark.parametrize("layout", [jnp.asarray, np.asfortranarray])
def test_device_arrays_and_any_layout_are_stored(path, tmp_path, layout):
  other = tmp_path / "other.safetensors"
  weights.save(other, jax.tree.map(layout, params_of()), TINY, PROVENANCE)
  assert other.read_bytes() == path.read_bytes()


def test_equal_input_makes_equal_bytes(path, tmp_path):
  turned = dict(reversed(list(params_of().items())))
  words = dict(reversed(list(PROVENANCE.items())))
  for number in range(8):  # an order that differs by chance is equal by chance
    again = tmp_path / f"{number}.safetensors"
    weights.save(again, turned, TINY, words)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_plain_safetensors(path):
  arrays = safetensors.numpy.load_file(path)
  assert len(arrays) == COUNT
  np.testing.assert_array_equal(
    arrays["ld/fuse/kernel"], params_of()["ld"]["fuse"]["kernel"]
  )
  with safetensors.safe_open(path, "numpy") as file:
    metadata = file.metadata()
  assert metadata["format"] == "hdnet_jax weights 1"
  assert json.loads(metadata["model"]) == {
    "width": 2,
    "local_dynamics": "paper",
    "neighbors": 1,
    "global_dynamics": "mask",
  }
  assert json.loads(metadata["provenance"]) == PROVENANCE
  length = int.from_bytes(path.read_bytes()[:8], "little")
  assert length % 8 == 0


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("none.safetensors", "is no file; write one with hdnet export-weights W"),
    ("hdnet-large", "'hdnet-large': it is no file, and released are hdnet-lit"),
    ("runs/nowhere", "train some with hdnet train --config=quickstart"),
  ],
)
def test_without_weights_it_says_how_to_get_them(name, words):
  assert words in message(name)


@pytest.fixture
def released(path, monkeypatch) -> pathlib.Path:
  """The file of another released network."""
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  monkeypatch.setitem(weights.RELEASED, "small", weights.Released(path, digest))
  return path


def test_released_weights_are_found_by_name(released):
  assert_equal(weights.load("small").params, params_of())


def test_damaged_released_weights_are_refused(released):
  data = bytearray(released.read_bytes())
  data[-1] ^= 1  # a valid file, but for one weight
  released.write_bytes(data)
  with pytest.raises(UserError, match=r"tiny.safetensors.* has the sha256"):
    weights.load("small")
  released.unlink()
  with pytest.raises(UserError, match="is missing; install hdnet-jax again"):
    weights.load("small")


def test_every_released_file_is_known():
  folder = pathlib.Path(hdnet_jax.__file__).parent / "pretrained"
  files = {released.path for released in weights.RELEASED.values()}
  assert set(folder.iterdir()) == files
  assert all(path.stat().st_size <= 3e6 for path in files)


def test_the_image_size_of_the_training(path):
  assert weights.load(path).image_size == 256  # nothing tells
  rewrite(path, metadata={"provenance": json.dumps({"image_size": "32"})})
  assert weights.load(path).image_size == 32
  rewrite(path, metadata={"provenance": json.dumps({"image_size": "large"})})
  assert "image_size='large', which is no size" in message(path)


def test_loading_what_is_not_a_safetensors_file(path):
  data = path.read_bytes()
  for damaged in (
    *(b"", b"not weights", b"\xff" * 64, data[:100], data[:-1], data + b"0"),
    data[:9] + b"\xff" + data[10:],
  ):
    path.write_bytes(damaged)
    assert "copy or export it again" in message(path)


@pytest.mark.parametrize(
  ("metadata", "words"),
  [
    ({"format": None}, "not of hdnet_jax"),
    ({"format": "pt"}, "not of hdnet_jax"),
    ({"format": "hdnet_jax weights 2"}, "'hdnet_jax weights 2', not"),
    ({"model": None}, "in its 'model'; export it again"),
    ({"model": "{"}, "in its 'model'; export it again"),
    ({"model": "[" * 100_000}, "in its 'model'; export it again"),
    ({"model": "[]"}, "in its 'model'; export it again"),
    ({"provenance": None}, "in its 'provenance'; export it again"),
    ({"provenance": "{}}"}, "in its 'provenance'; export it again"),
  ],
)
def test_loading_other_metadata(path, metadata, words):
  rewrite(path, metadata=metadata)
  assert words in message(path)


@pytest.mark.parametrize(
  ("settings", "words"),
  [
    ({"heads": 3}, "settings global_dynamics, heads, local_dynamics"),
    ({"dtype": "float32"}, "settings dtype, global_dynamics"),
    ({"width": None}, "global_dynamics, local_dynamics, neighbors, not"),
    ({"width": "2"}, "config.model.width is of type int"),
    ({"width": 0}, "config.model.width must be above 0"),
    ({"width": 10**19}, "above 4096"),
    ({"local_dynamics": "other"}, "not 'other'"),
  ],
)
def test_loading_other_model_settings(path, settings, words):
  values = SETTINGS | settings
  values = {name: value for name, value in values.items() if value is not None}
  rewrite(path, metadata={"model": json.dumps(values)})
  text = message(path)
  assert words in text
  assert "update hdnet_jax" in text


@pytest.mark.parametrize(
  ("tensors", "words"),
  [
    (
      {"x0/kernel": None, "surplus": np.zeros(1, np.float32)},
      "missing: x0/kernel; unknown: surplus",
    ),
    ({"out/bias": np.float32([0] * 4)}, "another shape: out/bias (4,) for"),
    ({"out/bias": np.float32([0, 1, np.nan])}, "NaN or infinite: out/bias"),
    ({"out/bias": np.float32([0, 1, -np.inf])}, "NaN or infinite: out/bias"),
    ({"out/bias": np.zeros(3, np.float16)}, "nor bfloat16 (out/bias)"),
    ({"out/bias": np.zeros(3, np.int32)}, "nor bfloat16 (out/bias)"),
  ],
)
def test_loading_other_tensors(path, tensors, words):
  rewrite(path, tensors=tensors)
  text = message(path)
  assert words in text
  assert "export it again" in text


def test_many_faults_are_counted(path):
  surplus = {f"s{i}": np.zeros(1, np.float32) for i in range(9)}
  rewrite(path, tensors=surplus)
  assert "unknown: s0, s1, s2 and 6 more" in message(path)
  rewrite(path, metadata={"model": json.dumps(SETTINGS | {"width": 3})})
  assert re.search(
    r"width 3 .* of another shape: .* and \d\d more", message(path)
  )


@pytest.mark.parametrize(
  ("leaf", "dtype", "word"),
  [
    (np.float32([0, 1, np.nan]), "float32", "NaN or infinite: out/bias"),
    # Finite, but no bfloat16 is as large.
    (np.float32([0, 1, 3.4e38]), "bfloat16", "NaN or infinite: out/bias"),
    (np.zeros(4, np.float32), "float32", "of another shape: out/bias"),
  ],
)
def test_what_could_not_be_loaded_is_not_saved(path, leaf, dtype, word):
  old = path.read_bytes()
  params = params_of() | {"out": {**params_of()["out"], "bias": leaf}}
  with pytest.raises(UserError, match=word):
    weights.save(path, params, TINY, dtype=dtype)
  assert path.read_bytes() == old
  assert names(path.parent) == [path.name]


def test_names_that_cannot_be_saved(tmp_path):
  with pytest.raises(UserError, match=r"must end in \.safetensors"):
    weights.save(tmp_path / "a/w.npz", params_of(), TINY)
  (tmp_path / "f.safetensors").mkdir()
  with pytest.raises(UserError, match="is a folder"):
    weights.save(tmp_path / "f.safetensors", params_of(), TINY)
  assert names(tmp_path) == ["f.safetensors"]


def test_a_failed_write_leaves_the_old_file_alone(path, monkeypatch):
  old = path.read_bytes()

  def full(self, data):
    self.touch()
    raise OSError("no space left")

  monkeypatch.setattr(pathlib.Path, "write_bytes", full)
  with pytest.raises(OSError, match="no space left"):
    weights.save(path, params_of(), TINY)
  assert path.read_bytes() == old
  assert names(path.parent) == [path.name]
