import csv
import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.evaluation import run
from hdnet_jax.evaluation.protocols import NAMES
from hdnet_jax.model.hdnet import HDNet
from hdnet_jax.recolor import make_composites
from hdnet_jax.sharding import make_mesh

COUNT, SIZE, WIDTH = 7, 32, 2


@pytest.fixture(scope="module", autouse=True)
def unoptimized():
  """Compiles in a fraction of the time."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


class Photos(list):
  """Examples in memory, in two subsets."""

  def name(self, index: int) -> str:
    return f"photo {index}"

  def subset(self, index: int) -> str:
    return ("even", "odd")[index % 2]


@functools.cache
def photos(count: int = COUNT) -> Photos:
  source = EmbeddedPhotos("test", SIZE)
  return Photos(
    source[40 * index] | {"index": np.int32(index)} for index in range(count)
  )


def photos_with_composites() -> Photos:
  """Composites half as bright inside, as a data set would give them."""
  return Photos(
    example
    | {
      "composite": np.where(example["mask"], example["real"] // 2, 0).astype(
        np.uint8
      )
      + np.where(example["mask"], 0, example["real"]).astype(np.uint8)
    }
    for example in photos()
  )


def make_config(eval_batch_size: int = 3, seed: int = 5) -> Config:
  return Config(
    seed=seed,
    eval_batch_size=eval_batch_size,
    model=ModelConfig(width=WIDTH),
    data=DataConfig(image_size=SIZE, threads=2),
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
def eval_step_of(devices: int, seed: int = 5):
  return run.make_eval_step(
    make_config(seed=seed), HDNet(WIDTH), mesh_of(devices)
  )


@functools.cache
def evaluation_of(eval_batch_size: int, devices: int) -> run.Evaluation:
  return evaluate(photos(), eval_batch_size, devices)


def evaluate(source, eval_batch_size=3, devices=1, **options) -> run.Evaluation:
  return run.evaluate(
    make_config(eval_batch_size),
    eval_step_of(devices),
    params(),
    source,
    mesh_of(devices),
    **options,
  )


SPREADS = [
  (1, 1),
  (3, 1),
  (8, 1),
  (8, 8),
  pytest.param(16, 8, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("size", "devices"), SPREADS)
def test_rows_are_in_order_and_once_each(size, devices):
  rows = evaluation_of(size, devices).rows
  assert [row["name"] for row in rows] == [f"photo {i}" for i in range(COUNT)]
  assert [row["subset"] for row in rows] == (["even", "odd"] * 4)[:COUNT]


@pytest.mark.parametrize(("size", "devices"), SPREADS[1:])
def test_values_do_not_depend_on_the_spread(size, devices):
  for row, expected in zip(
    evaluation_of(size, devices).rows, evaluation_of(1, 1).rows, strict=True
  ):
    assert list(row) == list(expected)
    for name in set(row) - {"name", "subset"}:
      assert row[name] == pytest.approx(expected[name], rel=1e-4), name


def test_rows_hold_the_protocols_values():
  evaluation = evaluation_of(3, 1)
  for row, example in zip(evaluation.rows, photos(), strict=True):
    assert set(row) == {"name", "subset", "ratio"} | {
      f"{kind}_{name}" for kind in ("composite", "harmonized") for name in NAMES
    }
    assert {type(value) for value in row.values()} == {str, float}
    assert row["ratio"] == pytest.approx(example["mask"].mean())
    # A composite, and a network that does not restore it.
    assert row["composite_mse"] > 0
    assert row["harmonized_mse"] > 0
    assert row["harmonized_mse"] != pytest.approx(row["composite_mse"])


def test_rows_and_pictures_belong_together():
  evaluation = evaluation_of(3, 1)
  rows = {row["name"]: row for row in evaluation.rows}
  by_name = {f"photo {i}": example for i, example in enumerate(photos())}
  for shown in evaluation.comparisons:
    row, example = rows[shown.name], by_name[shown.name]
    np.testing.assert_array_equal(shown.real, example["real"])
    np.testing.assert_array_equal(shown.mask, example["mask"])
    outside = np.broadcast_to(example["mask"] == 0, shown.real.shape)
    for image in (shown.composite, shown.harmonized):
      np.testing.assert_array_equal(image[outside], shown.real[outside])
    for image, kind in (
      (shown.composite, "composite"),
      (shown.harmonized, "harmonized"),
    ):
      mse = np.square(image.astype(float) - shown.real).mean()
      assert row[f"{kind}_mse"] == pytest.approx(mse, rel=1e-4)
    assert shown.composite_psnr == row["composite_psnr"]
    assert shown.harmonized_psnr == row["harmonized_psnr"]


def test_composites_come_from_the_seed_the_example_and_a_donor():
  # Example 2's donor is half of the source farther on.
  shown = evaluation_of(3, 1).comparisons[2]
  assert shown.name == "photo 2"
  example, donor = photos()[2], photos()[2 + COUNT // 2]
  key = jax.random.fold_in(jax.random.key(5), 2)
  (composite,) = jax.jit(make_composites)(
    key[None],
    *(
      array[None]
      for one in (example, donor)
      for array in (one["real"], one["mask"])
    ),
  )
  difference = shown.composite.astype(int) - np.asarray(composite, int)
  assert np.abs(difference).max() <= 1


def test_another_seed_makes_other_composites():
  step = eval_step_of(1, seed=6)
  other = run.evaluate(
    make_config(seed=6), step, params(), photos(), mesh_of(1)
  )
  for row, before in zip(other.rows, evaluation_of(3, 1).rows, strict=True):
    assert row["composite_mse"] != before["composite_mse"]


def test_given_composites_are_taken():
  source = photos_with_composites()
  evaluation = evaluate(source)
  assert len(evaluation.rows) == COUNT
  for row, example in zip(evaluation.rows, source, strict=True):
    error = example["composite"].astype(float) - example["real"]
    assert row["composite_mse"] == pytest.approx(np.square(error).mean())
  shown = evaluation.comparisons[0]
  np.testing.assert_array_equal(shown.composite, source[0]["composite"])


@pytest.mark.parametrize(
  ("count", "chosen"),
  [(1, [0]), (6, [0, 1, 2, 3, 4, 5]), (7, [0, 1, 2, 3, 4, 6])],
)
def test_pictures_are_spread_over_the_source(count, chosen):
  shown = evaluate(photos(count)).comparisons
  assert [one.name for one in shown] == [f"photo {index}" for index in chosen]


def test_progress_is_told():
  calls = []
  evaluate(photos(), on_batch=lambda done, total: calls.append((done, total)))
  assert calls == [(3, 7), (6, 7), (7, 7)]


def test_summary_is_of_the_harmonized_images():
  evaluation = evaluation_of(3, 1)
  summary = evaluation.summary()
  assert tuple(summary) == NAMES
  for name in NAMES:
    values = [row[f"harmonized_{name}"] for row in evaluation.rows]
    assert summary[name] == pytest.approx(np.mean(values))


def test_summary_of_perfect_images():
  # Best checkpoints are told by comparing numbers: there has to be one.
  before = evaluation_of(3, 1)
  rows = [row | {"harmonized_psnr": math.inf} for row in before.rows]
  summary = run.Evaluation(rows, before.comparisons).summary()
  assert summary["psnr"] == math.inf


def test_the_step_is_compiled_once(caplog):
  step = run.make_eval_step(make_config(), HDNet(WIDTH), mesh_of(1))
  with jax.log_compiles():
    for _ in range(2):  # three batches each, the last one padded
      run.evaluate(make_config(), step, params(), photos(), mesh_of(1))
  compiled = [
    record.getMessage()
    for record in caplog.records
    if record.getMessage().startswith("Compiling jit(eval_step)")
  ]
  assert len(compiled) == 1


def test_files(tmp_path):
  folder = tmp_path / "run/evaluation"
  evaluation = evaluation_of(3, 1)
  report = run.write(evaluation, folder, split="test", step=12, config="tiny")
  assert sorted(path.name for path in folder.iterdir()) == [
    "grid.png",
    "metrics.json",
    "per_image.csv",
  ]
  written = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
  assert written == report
  assert written["protocol"] == "standard"
  assert (written["split"], written["step"]) == ("test", 12)
  assert written["config"] == "tiny"
  assert written["count"] == COUNT
  assert {name: written["harmonized"][name] for name in NAMES} == (
    evaluation.summary()
  )

  with (folder / "per_image.csv").open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
  assert [
    {
      name: value if name in ("name", "subset") else float(value)
      for name, value in row.items()
    }
    for row in rows
  ] == evaluation.rows

  with Image.open(folder / "grid.png") as image:
    image.load()
    assert image.tobytes() == evaluation.grid().tobytes()


def test_a_perfect_image_can_be_written(tmp_path):
  rows = [dict(row) for row in evaluation_of(3, 1).rows]
  rows[0]["harmonized_psnr"] = math.inf
  evaluation = run.Evaluation(rows, evaluation_of(3, 1).comparisons)
  report = run.write(evaluation, tmp_path, split="test", step=1)
  assert report["harmonized"]["infinite_psnr"] == 1
  with (tmp_path / "per_image.csv").open(newline="") as file:
    row = next(csv.DictReader(file))
  assert float(row["harmonized_psnr"]) == math.inf


@pytest.mark.parametrize("file", ["metrics.json", "per_image.csv", "grid.png"])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch, file):
  (tmp_path / file).write_text("old")
  replace = pathlib.Path.replace

  def interrupted(path, target):
    if target.name == file:
      assert path.stat().st_size  # the new file is whole, beside the old one
      raise KeyboardInterrupt
    return replace(path, target)

  monkeypatch.setattr(pathlib.Path, "replace", interrupted)
  with pytest.raises(KeyboardInterrupt):
    run.write(evaluation_of(3, 1), tmp_path, split="test", step=1)
  assert (tmp_path / file).read_text() == "old"
  assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_show(tmp_path, capsys):
  run.write(evaluation_of(3, 1), tmp_path, split="test", step=12)
  run.show(tmp_path)
  out = capsys.readouterr().out
  assert "split 'test', step 12" in out
  assert "harmonized" in out
  for file in ("grid.png", "metrics.json", "per_image.csv"):
    assert str(tmp_path / file) in out
