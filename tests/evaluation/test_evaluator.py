"""From batches to rows and pictures; what is written: `test_report.py`."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.composites import Layers, make_composites
from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig, only
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.data.placement import make_layers
from hdnet_jax.devices import make_mesh
from hdnet_jax.evaluation.evaluator import (
  Evaluator,
  network,
  predictions,
  spread,
  summary_of,
)
from hdnet_jax.evaluation.metrics import NAMES, SHIFTS
from hdnet_jax.evaluation.tables import COLUMNS, KINDS
from hdnet_jax.model.hdnet import HDNet

COUNT, SIZE, WIDTH = 7, 32, 2
# Objects in their place; this one compiles fast.
COMPOSITES = only("covariance", moved=0.0, edge=0)


class Photos(list):
  """Examples in memory, in two subsets."""

  def name(self, index: int) -> str:
    return f"photo {index}"

  def subset(self, index: int) -> str:
    return ("even", "odd")[index % 2]


@functools.cache
def photos(count: int = COUNT) -> Photos:
  source = EmbeddedPhotos("test", 2 * SIZE)
  return Photos(
    source[40 * index] | {"index": np.int32(index)} for index in range(count)
  )


@functools.cache
def layers(index: int) -> dict[str, np.ndarray]:
  return make_layers(photos()[index], np.random.default_rng(index), COMPOSITES)


def photos_with_composites() -> Photos:
  """Composites half as bright inside, as a data set would give them."""
  return Photos(
    {
      "real": example["object"],
      "mask": np.uint8(example["alpha"] > 127),
      "composite": np.where(
        example["alpha"] > 127, example["object"] // 2, example["object"]
      ),
      "index": example["index"],
    }
    for example in map(layers, range(COUNT))
  )


def make_config(eval_batch_size: int = 3, seed: int = 5) -> Config:
  return Config(
    seed=seed,
    eval_batch_size=eval_batch_size,
    model=ModelConfig(width=WIDTH),
    data=DataConfig(
      image_size=SIZE, threads=2, evaluation_composites=COMPOSITES
    ),
  )


@functools.cache
def params() -> dict:
  """Every leaf random, so that every pixel of the output is."""
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  key = jax.random.key(0)
  shapes = jax.eval_shape(HDNet(WIDTH).init, key, image, mask)["params"]
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda leaf: 0.2 * rng.normal(size=leaf.shape).astype(np.float32), shapes
  )


@functools.cache
def mesh_of(devices: int):
  return make_mesh(MeshConfig(), jax.devices()[:devices])


@functools.cache
def evaluator_of(eval_batch_size: int, devices: int, protocols=("standard",)):
  return Evaluator(
    make_config(eval_batch_size),
    network(ModelConfig(WIDTH)),
    mesh_of(devices),
    protocols,
  )


@functools.cache
def rows_of(eval_batch_size: int, devices: int) -> list[dict]:
  return evaluator_of(eval_batch_size, devices).rows(params(), photos())


@functools.cache
def comparisons() -> list:
  titles = {index: f"number {index}" for index in range(COUNT)}
  return evaluator_of(3, 1).comparisons(params(), photos(), titles)


def assert_close(row: dict, expected: dict) -> None:
  assert list(row) == list(expected)
  for name, value in expected.items():
    if isinstance(value, float):
      value = pytest.approx(value, rel=1e-4)
    assert row[name] == value, name


SPREADS = [
  (3, 1),
  (8, 8),
  pytest.param(8, 1, marks=pytest.mark.slow),
  pytest.param(1, 1, marks=pytest.mark.slow),
  pytest.param(16, 8, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("size", "devices"), SPREADS)
def test_rows_are_in_order_and_once_each(size, devices):
  rows = rows_of(size, devices)
  assert [row["name"] for row in rows] == [f"photo {i}" for i in range(COUNT)]
  assert [row["subset"] for row in rows] == (["even", "odd"] * 4)[:COUNT]


@pytest.mark.parametrize(("size", "devices"), SPREADS[1:])
def test_values_do_not_depend_on_the_spread(size, devices):
  for row, expected in zip(rows_of(size, devices), rows_of(3, 1), strict=True):
    assert list(row) == list(expected)
    # Of given pixels errors are exact, and SSIM is but for float32 division.
    # The network's sums run in another order, so that a pixel on the verge may
    # round to another level.
    for name in COLUMNS:
      if name.startswith("harmonized"):
        near = pytest.approx(expected[name], rel=1e-4, abs=0.02)
        assert row[name] == near, name
      elif name == "composite_ssim":
        assert row[name] == pytest.approx(expected[name], rel=1e-6), name
      else:
        assert row[name] == expected[name], name


def test_rows_hold_the_protocols_values():
  for index, row in enumerate(rows_of(3, 1)):
    assert set(row) == set(COLUMNS)
    assert row["protocol"] == "standard"
    assert {type(value) for value in row.values()} == {str, float}
    assert row["ratio"] == (layers(index)["alpha"] > 127).mean()
    # A composite, and a network that does not restore it.
    assert row["composite_mse"] > 0
    assert row["harmonized_mse"] > 0
    assert row["harmonized_mse"] != pytest.approx(row["composite_mse"])


def test_protocols_in_one_pass():
  evaluator = evaluator_of(3, 1, ("standard", "paper"))
  source = photos_with_composites()
  seen = []
  source.name = lambda index: seen.append(index) or str(index)
  rows = evaluator.rows(params(), source)
  assert seen == list(range(COUNT))
  assert [row["protocol"] for row in rows] == COUNT * ["standard", "paper"]
  alone = Evaluator(
    make_config(3), network(ModelConfig(WIDTH)), mesh_of(1), ("paper",)
  ).rows(params(), source)
  for row, expected in zip(rows[1::2], alone, strict=True):
    assert_close(row, expected)
  for standard, paper in zip(rows[::2], rows[1::2], strict=True):
    assert standard["ratio"] == paper["ratio"]
    assert standard["harmonized_mse"] != paper["harmonized_mse"]


def test_rows_and_pictures_belong_together():
  for index, (row, shown) in enumerate(
    zip(rows_of(3, 1), comparisons(), strict=True)
  ):
    assert shown.title.endswith(row["name"])
    np.testing.assert_array_equal(shown.real, layers(index)["object"])
    np.testing.assert_array_equal(shown.mask, layers(index)["alpha"] > 127)
    outside = np.broadcast_to(layers(index)["alpha"] == 0, shown.real.shape)
    for kind in KINDS:
      image = getattr(shown, kind)
      np.testing.assert_array_equal(image[outside], shown.real[outside])
      error = image.astype(float) - shown.real
      mse = np.square(error).mean()
      assert row[f"{kind}_mse"] == pytest.approx(mse, rel=1e-12)
      shift = (error * shown.mask).sum((0, 1)) / shown.mask.sum()
      for channel, name in enumerate(SHIFTS):
        assert row[f"{kind}_{name}"] == pytest.approx(shift[channel])


def test_composites_come_from_the_seed_the_example_and_a_donor():
  # Example 2's donor is half of the source farther on.
  shown = comparisons()[2]
  assert shown.title == "number 2 photo 2"
  example, donor = (
    {name: layer[None] for name, layer in layers(index).items() if layer.ndim}
    for index in (2, 2 + COUNT // 2)
  )
  key = jax.random.fold_in(jax.random.key(5), 2)
  expected = jax.jit(
    lambda key: make_composites(
      key[None],
      Layers(**example),
      COMPOSITES,
      donors=(donor["object"], donor["alpha"]),
    )
  )(key)
  difference = shown.composite.astype(int) - np.asarray(
    expected.composite[0], int
  )
  assert np.abs(difference).max() <= 1


def test_evaluations_make_composites_of_their_own():
  config = make_config(3)

  def errors_of(**changes):
    data = dataclasses.replace(config.data, **changes)
    evaluator = Evaluator(
      dataclasses.replace(config, data=data),
      network(ModelConfig(WIDTH)),
      mesh_of(1),
    )
    rows = evaluator.rows(params(), photos())
    return [row["composite_mse"] for row in rows]

  before = [row["composite_mse"] for row in rows_of(3, 1)]
  assert errors_of(composites=only("expert")) == before
  other = errors_of(evaluation_composites=only("reinhard", moved=0.0))
  assert all(a != b for a, b in zip(before, other, strict=True))


def test_colour_maps_that_changed_are_read_anew(tmp_path):
  """Evaluators share programs, but a file may hold something else by now."""
  file = tmp_path / "maps.npz"
  composites = only("color_map", moved=0.0, edge=0, color_maps=str(file))
  config = make_config(3)
  data = dataclasses.replace(config.data, evaluation_composites=composites)
  config = dataclasses.replace(config, data=data)
  shown = []
  for level in (40, 200):
    np.savez(file, maps=np.full((1, 2, 2, 2, 3), level, np.uint8))
    evaluator = Evaluator(config, network(config.model), mesh_of(1))
    ((first,)) = evaluator.comparisons(params(), photos(), {4: ""})
    shown.append(first.composite[first.mask[..., 0] > 0])
  # A colour for all, mixed with the photo's by the amount of the change.
  assert np.median(shown[0]) < np.median(shown[1])


def test_given_composites_are_taken():
  source = photos_with_composites()
  evaluator = evaluator_of(3, 1)
  rows = evaluator.rows(params(), source)
  assert len(rows) == COUNT
  for row, example in zip(rows, source, strict=True):
    error = example["composite"].astype(float) - example["real"]
    assert row["composite_mse"] == pytest.approx(np.square(error).mean())
  (shown,) = evaluator.comparisons(params(), source, {4: ""})
  np.testing.assert_array_equal(shown.composite, source[4]["composite"])


def test_a_later_start():
  reported = []
  rows = evaluator_of(3, 1).rows(params(), photos(), 5, reported.extend)
  assert rows == reported
  assert [row["name"] for row in rows] == ["photo 5", "photo 6"]
  for row, expected in zip(rows, rows_of(3, 1)[5:], strict=True):
    assert_close(row, expected)
  assert evaluator_of(3, 1).rows(params(), photos(), COUNT) == []


def test_predictions_are_scored():
  source = photos_with_composites()
  for example in source:
    example["prediction"] = example["real"] ^ np.uint8(1)  # off by a level
  evaluator = Evaluator(make_config(3), predictions, mesh_of(1))
  for row in evaluator.rows({}, source):
    assert row["harmonized_mse"] == 1
    assert row["harmonized_fmse"] == 1


@pytest.mark.parametrize(
  ("count", "chosen"),
  [(1, [0]), (6, [0, 1, 2, 3, 4, 5]), (7, [0, 1, 2, 3, 4, 6])],
)
def test_examples_are_spread_over_the_source(count, chosen):
  assert list(spread(count)) == chosen


def test_rows_come_as_they_are_made():
  calls = []
  evaluator_of(3, 1).rows(params(), photos(), on_rows=calls.append)
  assert [len(rows) for rows in calls] == [3, 3, 1]


def test_summary_is_of_the_harmonized_images():
  summary = summary_of(rows_of(3, 1))
  assert tuple(summary) == NAMES
  for name in NAMES:
    values = [row[f"harmonized_{name}"] for row in rows_of(3, 1)]
    assert summary[name] == pytest.approx(np.mean(values))


def test_summary_of_perfect_images():
  # Best checkpoints are told by comparing numbers: there has to be one.
  rows = [row | {"harmonized_psnr": math.inf} for row in rows_of(3, 1)]
  assert summary_of(rows)["psnr"] == math.inf


def test_the_step_is_compiled_once(caplog):
  with jax.log_compiles():
    evaluator = Evaluator(
      make_config(seed=6), network(ModelConfig(WIDTH)), mesh_of(1)
    )
    for first in (0, 2):  # three batches and two, the last one padded
      evaluator.rows(params(), photos(), first)
    evaluator.comparisons(params(), photos(), {1: ""})
  compiled = [
    record.getMessage()
    for record in caplog.records
    if record.getMessage().startswith("Compiling jit(eval_step)")
  ]
  assert len(compiled) == 1
