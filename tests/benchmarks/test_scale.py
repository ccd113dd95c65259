"""The data set of iHarmony4's size."""

import json

import pytest

from hdnet_jax.data.prepare.lists import read_lists

from .conftest import start


@pytest.mark.slow
def test_scale(tmp_path):
  file = tmp_path / "numbers.json"
  done = start("scale", "--share", 0.002, "--json", file)
  assert done.returncode == 0, done.stderr
  results = json.loads(file.read_text())["results"]
  steps = ["prepare, killed", "the rest", "evaluate"]
  assert [row["step"] for row in results] == steps
  assert sum(row["images"] for row in results[:2]) == 148
  assert results[1]["disk"] > 0
  assert all(max(row["memory"]) > 0 for row in results)
  assert "ratio" in done.stdout
  assert "4 threads, 0 workers" in done.stdout


def test_the_data_set_of_the_scale_has_all_of_iharmony4s_files(tmp_path, load):
  scale = load("scale")
  train, test = (sum(s[k] for s in scale.SUBSETS.values()) for k in (0, 1))
  assert (train, test) == (65_742, 7_404)
  scale.SUBSETS = {"HCOCO": (5, 2, (48, 32)), "HFlickr": (3, 1, (40, 24))}
  assert scale.make_data(tmp_path, 1.0) == (8, 3)
  triplets, faults = read_lists(tmp_path, ("HCOCO", "HFlickr"))
  assert faults == []
  counts = {name: len(part) for name, part in triplets.items()}
  assert counts == {
    "HCOCO_train": 5,
    "HCOCO_test": 2,
    "HFlickr_train": 3,
    "HFlickr_test": 1,
  }
