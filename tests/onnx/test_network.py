"""Graphs in ONNX Runtime against the network in JAX."""

import functools
import json
import pathlib

import numpy as np
import pytest
from skimage import data

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx]")

from hdnet_jax.config import ModelConfig  # noqa: E402
from hdnet_jax.inference.engine_jax import JaxEngine  # noqa: E402
from hdnet_jax.inference.harmonizer import Harmonizer  # noqa: E402
from hdnet_jax.onnx import local_dynamics  # noqa: E402
from hdnet_jax.onnx import network as exported  # noqa: E402
from hdnet_jax.onnx.graph import OPSET  # noqa: E402

from ..random_networks import in_jax, params_of  # noqa: E402

TINY = ModelConfig(width=2)
# These ran in ONNX Runtime Web 1.30 (WASM), with the images of the Python one
# to a level; try there what is added.
OPERATORS = {
  *("Add", "ArgMax", "Cast", "Concat", "ConstantOfShape", "Conv"),
  *("ConvTranspose", "Div", "Expand", "Gather", "GatherElements"),
  *("Greater", "GreaterOrEqual", "Identity", "InstanceNormalization"),
  *("LeakyRelu", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not"),
  *("Pad", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape"),
  *("Round", "Scan", "ScatterND", "Shape", "Sigmoid", "Slice"),
  *("Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "TopK", "Transpose"),
  *("Unsqueeze", "Where"),
}


def build(*arguments, **named) -> "onnx.ModelProto":
  """Build a graph, which ONNX checks."""
  graph = onnx.load_model_from_string(exported.build(*arguments, **named))
  onnx.checker.check_model(graph, full_check=True)
  return graph


def session(graph, options=None) -> runtime.InferenceSession:
  options = options or runtime.SessionOptions()
  options.intra_op_num_threads = 1
  return runtime.InferenceSession(
    graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
  )


@functools.cache
def graph_of(model: ModelConfig = TINY, *arguments):
  return build(params_of(model), model, *arguments)


@functools.cache
def session_of(model: ModelConfig = TINY, *arguments):
  return session(graph_of(model, *arguments))


def nodes_of(graph):
  """Those of its loops, too."""
  for node in graph.node:
    yield node
    for attribute in node.attribute:
      yield from nodes_of(attribute.g)


def run(session, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  (result,) = session.run(None, {"composite": image, "mask": mask})
  assert result.dtype == image.dtype
  assert result.shape == image.shape
  return result


@functools.cache
def photos() -> list[np.ndarray]:
  return [data.astronaut(), data.chelsea(), data.coffee()]


def sample(
  rng: np.random.Generator, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """A part of a photo, and an ellipse; uint8 [H, W, 3], 0 or 255 [H, W, 1]."""
  photo = photos()[rng.integers(3)]
  step = rng.integers(1, 5)
  photo = photo[::step, ::step]
  top, left = (
    rng.integers(have - want + 1)
    for have, want in zip(photo.shape, (height, width), strict=False)
  )
  image = photo[top : top + height, left : left + width]
  y, x = np.mgrid[:height, :width]
  center = rng.uniform(0, 1, 2) * (height, width)
  radius = rng.uniform(0.1, 0.6, 2) * (height, width)
  inside = ((np.stack([y, x], -1) - center) / radius) ** 2
  return image, 255 * (inside.sum(-1, keepdims=True) < 1).astype(np.uint8)


def samples(rng: np.random.Generator, count: int, height: int, width: int):
  pairs = [sample(rng, height, width) for _ in range(count)]
  return [np.stack(arrays) for arrays in zip(*pairs, strict=True)]


def as_float(image: np.ndarray, mask: np.ndarray):
  """Image in -1 to 1, mask 0/1."""
  return (
    image.astype(np.float32) / np.float32(127.5) - 1,
    (mask > 127).astype(np.float32),
  )


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 40, 64)])
def test_photos(size):
  image, mask = as_float(*samples(np.random.default_rng(1), *size))
  result = run(session_of(), image, mask)
  expected = in_jax(TINY)(image, mask)
  assert abs(expected - image).max() > 0.1
  np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
  copies = np.broadcast_to(mask == 0, image.shape)
  np.testing.assert_array_equal(result[copies], image[copies])


def test_bytes_of_any_size(rng):
  # Filled up to a multiple of 8 as hdnet harmonize --mode direct does.
  size = 39, 61
  network = Harmonizer(JaxEngine(params_of(TINY), TINY), mode="direct")
  image, mask = samples(rng, 2, *size)
  result = run(session_of(TINY, None, "uint8"), image, mask)
  for i in range(2):
    expected = network(image[i], mask[i])
    assert (expected != image[i]).any()
    assert abs(result[i].astype(int) - expected).max() <= 1
    copies = np.broadcast_to(mask[i] == 0, image[i].shape)
    np.testing.assert_array_equal(result[i][copies], image[i][copies])


def test_gray_masks_of_bytes_are_cut_in_the_middle(rng):
  image, mask = (x[None] for x in sample(rng, 32, 32))
  gray = np.where(mask > 0, rng.integers(128, 256, mask.shape), 127)
  network = session_of(TINY, None, "uint8")
  np.testing.assert_array_equal(
    run(network, image, gray.astype(np.uint8)), run(network, image, mask)
  )


def test_soft_masks(rng):
  image, _ = as_float(*(x[None] for x in sample(rng, 32, 32)))
  mask = rng.uniform(0, 1, (1, 32, 32, 1)).astype(np.float32)
  np.testing.assert_allclose(
    run(session_of(), image, mask), in_jax(TINY)(image, mask), rtol=0, atol=1e-5
  )


def edge_masks() -> np.ndarray:
  """Empty, full, a pixel, one that vanishes at 1/8, and all but a pixel."""
  masks = np.zeros((5, 32, 32, 1), np.float32)
  _, full, pixel, vanishing, all_but_one = masks
  full[:] = 1
  pixel[8, 16] = 1
  vanishing[9:15, 17:23] = 1
  all_but_one[:] = 1
  all_but_one[8, 8] = 0
  assert not vanishing[::8, ::8].any()
  return masks


@pytest.mark.parametrize("local_dynamics", ["paper", "official"])
def test_masks_at_the_edge(local_dynamics, rng):
  model = ModelConfig(width=2, local_dynamics=local_dynamics)
  mask = edge_masks()
  image, _ = as_float(*samples(rng, len(mask), 32, 32))
  result = run(session_of(model), image, mask)
  np.testing.assert_array_equal(result[0], image[0])
  expected = in_jax(model)(image, mask)
  np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
  "model",
  [
    ModelConfig(2, local_dynamics="none", global_dynamics="none"),
    ModelConfig(2, local_dynamics="official"),
    ModelConfig(2, neighbors=9, global_dynamics="learned_mask"),
    pytest.param(
      ModelConfig(2, neighbors=3, global_dynamics="spatial_attention"),
      marks=pytest.mark.slow,
    ),
  ],
)
def test_rows_of_the_ablation(model, rng):
  size = 16, 24  # 6 positions, for 9 neighbors
  image, mask = samples(rng, 3, *size)
  mask[1], mask[2] = 0, 255
  image, mask = as_float(image, mask)
  expected = in_jax(model)(image, mask)
  for arguments in ((), (size,)):
    result = run(session_of(model, *arguments), image, mask)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def small_tiles(monkeypatch) -> None:
  """Let a search of a small image take many turns."""
  monkeypatch.setattr(local_dynamics, "TILE", (3, 7))


@pytest.mark.parametrize(
  "model",
  [
    TINY,
    ModelConfig(2, neighbors=3),
    pytest.param(ModelConfig(2, "official"), marks=pytest.mark.slow),
  ],
)
def test_a_search_in_tiles(model, rng, monkeypatch):
  small_tiles(monkeypatch)
  image, mask = as_float(*samples(rng, 5, 72, 96))  # 108 positions
  mask[1], mask[2] = 0, 1
  mask[3] = rng.uniform(0, 1, mask[3].shape)
  mask[4] = rng.uniform(size=mask[4].shape) < 0.3
  result = run(session(build(params_of(model), model)), image, mask)
  expected = in_jax(model)(image, mask)
  np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("neighbors", [1, 3])
def test_no_array_of_all_pairs(neighbors, rng, monkeypatch, tmp_path):
  small_tiles(monkeypatch)
  model = ModelConfig(width=1, neighbors=neighbors)
  image = rng.uniform(-1, 1, (1, 256, 256, 3)).astype(np.float32)
  mask = (rng.uniform(size=(1, 256, 256, 1)) < 0.5).astype(np.float32)
  options = runtime.SessionOptions()
  options.enable_profiling = True
  options.profile_file_prefix = str(tmp_path / "profile")
  profiled = session(build(params_of(model), model), options)
  run(profiled, image, mask)
  events = json.loads(pathlib.Path(profiled.end_profiling()).read_text())
  sizes = {
    event["name"]: int(event["args"]["output_size"])
    for event in events
    if event["name"].startswith("ld/")
    and event["name"].endswith("_kernel_time")
  }
  assert any("MatMul" in name for name in sizes)
  # N = 1024 positions of 8 channels, the nothing among the keys included.
  assert max(sizes.values()) < 4 * 1100 * 16


def test_a_fixed_size_takes_no_other(rng):
  image, mask = as_float(*(x[None] for x in sample(rng, 32, 40)))
  fixed = session_of(TINY, (32, 40))
  np.testing.assert_allclose(
    run(fixed, image, mask), run(session_of(), image, mask), rtol=0, atol=1e-6
  )
  with pytest.raises(Exception, match="invalid dimensions"):
    run(fixed, image[:, :24], mask[:, :24])


@pytest.mark.parametrize(("storage", "least"), [("float16", 55), ("int8", 35)])
def test_smaller_files(storage, least, rng):
  image, mask = samples(rng, 2, 64, 64)
  exact = run(session_of(TINY, None, "uint8"), image, mask)
  result = run(session_of(TINY, None, "uint8", storage), image, mask)
  error = np.square(result.astype(float) - exact).mean()
  assert 10 * np.log10(255**2 / error) > least
  sizes = [
    len(graph_of(TINY, None, "uint8", kind).SerializeToString())
    for kind in ("float32", storage)
  ]
  assert sizes[1] < 0.75 * sizes[0]


def test_the_file_says_what_it_is():
  graph = build(params_of(TINY), TINY, metadata={"license": "CC0-1.0"})
  assert [(x.key, x.value) for x in graph.metadata_props] == [
    ("license", "CC0-1.0")
  ]
  assert [(x.domain, x.version) for x in graph.opset_import] == [("", OPSET)]
  assert [x.name for x in graph.graph.input] == ["composite", "mask"]
  shape = graph.graph.output[0].type.tensor_type.shape.dim
  assert [x.dim_param or x.dim_value for x in shape] == [
    *("batch", "height", "width"),
    3,
  ]
  names = {tensor.name for tensor in graph.graph.initializer}
  assert {"x1/conv/kernel", "y0/rain/foreground_gamma", "out/bias"} <= names


@pytest.mark.parametrize(
  "model",
  [
    TINY,
    ModelConfig(2, "official"),
    ModelConfig(2, neighbors=3, global_dynamics="learned_mask"),
    ModelConfig(2, global_dynamics="spatial_attention"),
  ],
)
def test_operators_are_those_of_browsers(model):
  nodes = list(nodes_of(graph_of(model, None, "uint8").graph))
  assert {node.op_type for node in nodes} <= OPERATORS
  assert {node.domain for node in nodes} == {""}


def test_equal_input_makes_equal_bytes():
  first, second = (
    build(params_of(TINY), TINY, metadata={"a": "1", "b": "2"})
    for _ in range(2)
  )
  assert first.SerializeToString() == second.SerializeToString()


@pytest.mark.parametrize("size", [(0, 8), (20, 32), (32, 4)])
def test_other_sizes_are_refused(size):
  with pytest.raises(ValueError, match="multiple of 8"):
    build(params_of(TINY), TINY, size)
