"""examples/comfyui: the node on tensors as ComfyUI gives them."""

import importlib.util
import json
import pathlib
import sys
import types

import numpy as np
import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.inference.harmonizer import Harmonizer, MaskWarning

EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "comfyui"


class StandIn:
  """Of PyTorch's tensor what the node uses, for where PyTorch is not."""

  def __init__(self, array: np.ndarray):
    self._array = array
    self.shape, self.dtype = array.shape, array.dtype

  def cpu(self) -> "StandIn":
    return self

  def float(self) -> "StandIn":
    return StandIn(self._array.astype(np.float32, copy=False))

  def clone(self) -> "StandIn":
    return StandIn(self._array.copy())

  def numpy(self) -> np.ndarray:
    return self._array  # the same memory, as PyTorch's

  def to(self, other: "StandIn") -> "StandIn":
    return StandIn(self._array.astype(other.dtype, copy=False))


def torch_tensor(array: np.ndarray):
  import torch

  return torch.from_numpy(array)


KINDS = [StandIn]
if importlib.util.find_spec("torch"):
  KINDS.append(torch_tensor)


@pytest.fixture(params=KINDS, ids=["stand-in", "torch"][: len(KINDS)])
def tensor(request):
  """Makes a tensor of an array."""
  return request.param


@pytest.fixture
def steps() -> list[int]:
  """What the node has told ComfyUI's progress bar: a total, then steps."""
  return []


@pytest.fixture
def example(monkeypatch, steps):
  """The example's module, imported as ComfyUI does, in what stands for it."""

  class ProgressBar:
    def __init__(self, total: int):
      steps.append(total)

    def update(self, count: int) -> None:
      steps.append(count)

  utils = types.ModuleType("comfy.utils")
  utils.ProgressBar = ProgressBar
  monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
  monkeypatch.setitem(sys.modules, "comfy.utils", utils)
  spec = importlib.util.spec_from_file_location(
    "hdnet_node", EXAMPLE / "__init__.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def run(example, tensor, network):
  """Runs the node on arrays, as its own defaults are unless told."""
  required = example.HarmonizeImage.INPUT_TYPES()["required"]
  defaults = {
    name: options[0]["default"]
    for name, (kind, *options) in required.items()
    if kind not in ("IMAGE", "MASK")
  }

  def run(image: np.ndarray, mask: np.ndarray, **values):
    values = {**defaults, "weights": str(network), **values}
    node = example.NODE_CLASS_MAPPINGS["HDNetHarmonize"]()
    images = tensor(image)
    (result,) = getattr(node, node.FUNCTION)(images, tensor(mask), **values)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    return result.numpy()

  return run


@pytest.fixture
def frames(rng) -> np.ndarray:
  return rng.random((10, 24, 40, 3), np.float32)


@pytest.fixture
def masks() -> np.ndarray:
  """A square that moves, with a soft edge."""
  masks = np.zeros((10, 24, 40), np.float32)
  for index, mask in enumerate(masks):
    mask[6:18, 2 + index : 20 + index] = 0.3
    mask[7:17, 3 + index : 19 + index] = 1
  return masks


def test_each_image_is_harmonized_with_its_mask(run, frames, masks, network):
  before = frames.copy()
  result = run(frames, masks)
  harmonizer = Harmonizer.from_pretrained(network)
  for image, mask, after in zip(frames, masks, result, strict=True):
    np.testing.assert_allclose(after, harmonizer(image, mask), atol=1e-5)
    np.testing.assert_array_equal(after[mask == 0], image[mask == 0])
    assert (after != image)[mask == 1].mean() > 0.9
  np.testing.assert_array_equal(frames, before)  # the graph's, not the node's


@pytest.mark.parametrize("shape", [(1, 24, 40), (24, 40), (1, 1, 24, 40)])
def test_a_mask_serves_all_frames(run, frames, masks, shape):
  every = np.repeat(masks[:1], 10, axis=0)
  expected = run(frames, every)
  result = run(frames, masks[0].reshape(shape))
  np.testing.assert_array_equal(result, expected)


def test_alpha_is_kept_and_hides(run, frames, masks, network):
  alpha = np.ones((10, 24, 40, 1), np.float32)
  alpha[:, :, 35:] = 0
  images = np.concatenate([frames, alpha], -1)
  result = run(images, masks)
  np.testing.assert_array_equal(result[..., 3:], alpha)
  expected = Harmonizer.from_pretrained(network)(images[0], masks[0])
  np.testing.assert_allclose(result[0], expected, atol=1e-5)


def test_strength_and_feather(run, frames, masks, network):
  image, mask = frames[:1], masks[:1]
  np.testing.assert_array_equal(run(image, mask, strength=0.0), image)
  harmonizer = Harmonizer.from_pretrained(network)
  expected = harmonizer(image[0], mask[0], strength=0.5, feather=4.0)
  (result,) = run(image, mask, strength=0.5, feather=4.0)
  np.testing.assert_allclose(result, expected, atol=1e-5)


def test_values_a_little_outside_are_clipped(run, frames, masks):
  frames[0, 0, 0] = [1.02, -0.01, 0.5]
  result = run(frames, np.minimum(masks * 1.01, 1.01))
  np.testing.assert_allclose(result[0, 0, 0], [1, 0, 0.5])


def test_half_precision_stays(run, frames, masks):
  result = run(frames[:1].astype(np.float16), masks[:1])
  assert np.isfinite(result).all()


def test_progress_is_told_and_the_network_loaded_once(
  example, run, frames, masks, steps
):
  run(frames, masks)
  run(frames[:1], masks[:1])
  assert steps == [10, 8, 2, 1, 1]
  assert example.load_network.cache_info().misses == 1


def test_mistakes_are_told(run, frames, masks):
  with pytest.raises(UserError, match="mask is 40x23 and the image 40x24"):
    run(frames, masks[:, 1:])
  with pytest.raises(UserError, match=r"3 masks for 10 images; give one for"):
    run(frames, masks[:3])
  with pytest.raises(UserError, match="nowhere"):
    run(frames, masks, weights="nowhere.safetensors")
  # Of a photo without transparency Load Image gives this.
  empty = np.zeros((1, 64, 64), np.float32)
  with pytest.raises(UserError, match="Load Image has none for a file without"):
    run(frames, empty)


def test_an_empty_mask_changes_nothing_and_warns(run, frames):
  with pytest.warns(MaskWarning, match="covers nothing"):
    result = run(frames[:1], np.zeros((1, 24, 40), np.float32))
  np.testing.assert_array_equal(result, frames[:1])


def test_the_workflows_are_of_the_node(example):
  """Both give each of its inputs a link, or a value as its defaults are."""
  required = example.HarmonizeImage.INPUT_TYPES()["required"]
  graph = json.loads((EXAMPLE / "workflow_api.json").read_text())
  (node,) = (n for n in graph.values() if n["class_type"] == "HDNetHarmonize")
  assert list(node["inputs"]) == list(required)

  graph = json.loads((EXAMPLE / "workflow.json").read_text())
  (shown,) = (n for n in graph["nodes"] if n["type"] == "HDNetHarmonize")
  assert [i["name"] for i in shown["inputs"]] == list(required)
  values = [node["inputs"][i["name"]] for i in shown["inputs"] if "widget" in i]
  assert shown["widgets_values"] == values
  assert values == [kind[1]["default"] for kind in list(required.values())[2:]]
