import collections
import itertools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from hdnet_jax.config import DataConfig, only
from hdnet_jax.data.iharmony4 import Iharmony4Folder
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.data.pipeline import (
  ReadOptions,
  evaluation_batches,
  open_source,
  training_batches,
)
from hdnet_jax.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def make_source(count: int, composites: bool = False) -> list:
  """Examples that tell by every pixel which they are."""
  return [
    {
      "real": np.full((4, 4, 3), index, np.uint8),
      "mask": np.full((4, 4, 1), index % 2, np.uint8),
      "index": np.int32(index),
    }
    | ({"composite": np.full((4, 4, 3), 100, np.uint8)} if composites else {})
    for index in range(count)
  ]


def take(batches, count: int) -> list[int]:
  """The indices of the next `count` batches, in a row."""
  return [
    index
    for batch in itertools.islice(batches, count)
    for index in batch["index"].tolist()
  ]


def train(count: int, size: int, seed: int = 0, start: int = 0, **reader):
  return training_batches(
    make_source(count), size, seed, ReadOptions(**reader), start
  )


def contract(batch) -> dict:
  return {name: (array.shape, array.dtype) for name, array in batch.items()}


def test_training_batches_are_stacked_examples():
  batch = next(train(10, 4))
  assert contract(batch) == {
    "real": ((4, 4, 4, 3), np.uint8),
    "mask": ((4, 4, 4, 1), np.uint8),
    "index": ((4,), np.int32),
  }
  # Entries of one example stay joined.
  index = batch["index"]
  np.testing.assert_array_equal(batch["real"][:, 0, 0, 0], index)
  np.testing.assert_array_equal(batch["mask"][:, 0, 0, 0], index % 2)


@pytest.mark.parametrize(("count", "size"), [(12, 4), (10, 4), (7, 3), (3, 5)])
def test_every_pass_visits_every_example_once(count, size):
  # As many batches as hold a whole number of passes.
  indices = take(train(count, size), 2 * count)
  passes = [indices[i : i + count] for i in range(0, len(indices), count)]
  assert len(passes) == 2 * size
  for indices in passes:
    assert sorted(indices) == list(range(count))


def test_every_pass_has_its_own_order():
  indices = take(train(20, 4), 25)
  passes = {tuple(indices[i : i + 20]) for i in range(0, 100, 20)}
  assert len(passes) == 5
  assert tuple(range(20)) not in passes


def test_the_seed_gives_the_stream():
  first = take(train(20, 4, seed=3), 15)
  assert take(train(20, 4, seed=3, threads=4), 15) == first
  assert take(train(20, 4, seed=4), 15) != first


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("start", [0, 1, 7])
def test_a_stream_can_start_at_any_batch(threads, start):
  whole = take(train(10, 4), start + 12)
  assert (
    take(train(10, 4, start=start, threads=threads), 12) == (whole[4 * start :])
  )


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("start", [0, 3])
def test_processes_share_every_batch(processes, start):
  whole = take(train(10, 4), start + 10)[4 * start :]
  parts = [
    take(train(10, 4, start=start, process=p, processes=processes), 10)
    for p in range(processes)
  ]
  # Process p holds rows p * size to (p + 1) * size of the whole batch.
  size = 4 // processes
  rows = [
    index
    for batch in range(10)
    for part in parts
    for index in part[size * batch :][:size]
  ]
  assert rows == whole


def test_processes_share_evaluation_batches():
  source = make_source(7)
  whole = list(evaluation_batches(source, range(7), 4, ReadOptions()))
  readers = [ReadOptions(process=p, processes=2) for p in range(2)]
  parts = [list(evaluation_batches(source, range(7), 4, r)) for r in readers]
  assert [len(part) for part in parts] == [2, 2]
  for batch, first, second in zip(whole, *parts, strict=True):
    for name, array in batch.items():
      np.testing.assert_array_equal(
        np.concatenate([first[name], second[name]]), array
      )


# Worker processes start as `python` does: flags parsed, a main to import.
WORKERS = """
import sys
from absl import app
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.data.pipeline import (
  ReadOptions, evaluation_batches, training_batches)

def main(_):
  source = EmbeddedPhotos("validation", 16)
  for workers in (0, 1, 2):
    reader = ReadOptions(threads=1, workers=workers)
    batches = training_batches(source, 5, 0, reader, 3, True, 0.5)
    out = [next(batches) for _ in range(7)]
    total = sum(int(b["real"].sum()) for b in out)
    print([b["index"].tolist() for b in out], total)
    batches = evaluation_batches(source, range(len(source)), 16, reader)
    print([b["index"].tolist() for b in batches])

if __name__ == "__main__":
  app.run(main)
"""


def test_worker_processes_do_not_change_the_stream(tmp_path):
  program = tmp_path / "read.py"
  program.write_text(WORKERS)
  lines = subprocess.run(
    [sys.executable, str(program)],
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=True,
  ).stdout.splitlines()
  assert len(lines) == 6
  assert lines[0] == lines[2] == lines[4]  # also their random augmentations
  assert lines[1] == lines[3] == lines[5]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_evaluation_visits_every_example_once_in_order(size, threads):
  source = make_source(7)
  batches = list(
    evaluation_batches(source, range(7), size, ReadOptions(threads))
  )
  assert len(batches) == -(-7 // size)
  assert {batch["index"].shape for batch in batches} == {(size,)}
  index = np.concatenate([batch["index"] for batch in batches]).tolist()
  assert index[:7] == list(range(7))
  # Padding comes last, and holds an example like any other.
  assert set(index[7:]) <= {6}


def test_some_examples_alone():
  source = make_source(7)
  composites = only("nothing", moved=1.0)
  batches = list(
    evaluation_batches(source, [5, 2, 3], 2, ReadOptions(), composites)
  )
  assert [batch["index"].tolist() for batch in batches] == [[5, 2], [3, 3]]
  assert list(evaluation_batches(source, [], 2, ReadOptions())) == []
  # Their layers and donors are those that they have among all.
  (whole,) = evaluation_batches(source, range(7), 7, ReadOptions(), composites)
  for batch in batches:
    for place, index in enumerate(batch["index"]):
      for name in whole:
        np.testing.assert_array_equal(batch[name][place], whole[name][index])


def test_evaluation_batches_have_one_shape():
  batches = evaluation_batches(
    make_source(7), range(7), 4, ReadOptions(), only("nothing", moved=0.5)
  )
  expected = {
    "background": ((4, 2, 2, 3), np.uint8),
    "object": ((4, 2, 2, 3), np.uint8),
    "alpha": ((4, 2, 2, 1), np.uint8),
    "donor_object": ((4, 2, 2, 3), np.uint8),
    "donor_alpha": ((4, 2, 2, 1), np.uint8),
    "index": ((4,), np.int32),
  }
  assert [contract(batch) for batch in batches] == [expected] * 2


def donors(count: int, size: int) -> dict[int, int]:
  """Example to donor, as the pixels tell."""
  source, found = make_source(count), {}
  composites = only("nothing", moved=0.0, edge=0)
  for batch in evaluation_batches(
    source, range(count), size, ReadOptions(2), composites
  ):
    donor = batch["donor_object"][:, 0, 0, 0]
    alpha = batch["donor_alpha"][:, 0, 0, 0]
    np.testing.assert_array_equal(alpha, 255 * (donor % 2))
    found |= zip(batch["index"].tolist(), donor.tolist(), strict=True)
  return found


@pytest.mark.parametrize("count", [2, 3, 7, 8])
def test_donors_are_other_examples(count):
  found = donors(count, 4)
  assert set(found) == set(range(count))
  assert all(index != donor for index, donor in found.items())
  # Every example lends its colours once.
  assert collections.Counter(found.values()) == dict.fromkeys(range(count), 1)


def test_donors_do_not_depend_on_the_batch():
  assert donors(7, 1) == donors(7, 3) == donors(7, 8)
  assert donors(1, 2) == {0: 0}  # an example alone is its own donor


def test_given_composites_need_no_donors():
  source = make_source(3, composites=True)
  for batch in evaluation_batches(
    source, range(3), 2, ReadOptions(), only("nothing")
  ):
    assert set(batch) == {"composite", "real", "mask", "index"}
  assert set(source[0]) == set(batch)


class BrokenSource(list):
  def __getitem__(self, index):
    raise UserError("mask.png cannot be read")


def test_errors_of_a_source_reach_the_caller():
  source = BrokenSource(4 * [None])
  with pytest.raises(UserError, match=r"mask\.png"):
    next(iter(evaluation_batches(source, range(4), 2, ReadOptions(2))))
  with pytest.raises(UserError, match=r"mask\.png"):
    next(training_batches(source, 2, 0, ReadOptions(2)))


def test_open_source():
  source = open_source(DataConfig(image_size=32), "validation")
  assert isinstance(source, EmbeddedPhotos)
  # Layers of half the size are composites of them.
  assert source[0]["real"].shape == (64, 64, 3)


def test_open_source_of_folders(shared):
  root = str(shared / "data/iharmony4_samples")
  config = DataConfig(source="folder", root=root, image_size=32)
  assert isinstance(open_source(config, "test"), Iharmony4Folder)
  root = str(shared / "data/photos")
  config = DataConfig(source="photos", root=root, image_size=40)
  assert open_source(config, "test")[0]["real"].shape == (80, 80, 3)


def test_unknown_source():
  with pytest.raises(UserError, match=r"'coco'.*embedded, photos.*iharmony4"):
    open_source(DataConfig(source="coco"), "train")


def test_data_loads_no_framework():
  # Grain brings JAX; tests/test_layers.py holds that these modules do not.
  program = (
    "import sys, hdnet_jax.data.pipeline;"
    "print({'flax', 'tensorflow', 'torch'} & set(sys.modules) or 'none')"
  )
  out = subprocess.run(
    [sys.executable, "-c", program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert out.strip() == "none"
