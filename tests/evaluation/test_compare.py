"""Runs compared: by hand, and what does not compare."""

import math

import numpy as np
import pytest

from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import compare
from hdnet_jax.evaluation.tables import COLUMNS

from ..comparisons import BASE, COMPOSITE, OTHER, image, run_of, write


@pytest.fixture
def runs(tmp_path):
  return run_of(tmp_path / "base", BASE), run_of(tmp_path / "other", OTHER)


def test_by_hand(runs):
  report = compare.compare(runs)
  assert report["protocol"] == "standard"
  assert report["runs"] == ["base", "other"]
  assert (report["images"], report["left_out"]) == (5, 0)
  (comparison,) = report["comparisons"]
  assert (comparison["baseline"], comparison["run"]) == ("base", "other")
  changes = comparison["all"]
  assert changes["images"] == 5
  counts = {"wins": 3, "ties": 1, "losses": 1, "infinite": 0}
  means = {
    "fmse": (30, 27, -3),
    "mse": (15, 13.5, -1.5),
    "psnr": (47, 47.3, 0.3),
  }
  for name, (baseline, run, difference) in means.items():
    assert changes[name]["baseline"] == pytest.approx(baseline)
    assert changes[name]["run"] == pytest.approx(run)
    assert changes[name]["difference"] == pytest.approx(difference)
    assert changes[name].items() >= counts.items()
    low, high = changes[name]["interval"]
    assert low < difference < high
    assert low < 0 < high
    assert changes[name]["verdict"] == "unclear"
  assert changes["ssim"] == {
    "baseline": 0.5,
    "run": 0.5,
    "difference": 0,
    "interval": [0, 0],
    "verdict": "unclear",
    "wins": 0,
    "ties": 5,
    "losses": 0,
    "infinite": 0,
  }


def test_by_subset(runs):
  (comparison,) = compare.compare(runs)["comparisons"]
  parts = comparison["by_subset"]
  assert list(parts) == ["coco", "night"]
  assert [part["images"] for part in parts.values()] == [3, 2]
  assert parts["coco"]["fmse"]["difference"] == -5
  assert parts["night"]["fmse"]["difference"] == 0
  assert parts["night"]["fmse"]["losses"] == 1


def test_one_subset_is_not_repeated(tmp_path):
  pair = run_of(tmp_path / "a", BASE[:3]), run_of(tmp_path / "b", OTHER[:3])
  (comparison,) = compare.compare(pair)["comparisons"]
  assert comparison["by_subset"] == {}


@pytest.mark.parametrize("more_is_better", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_verdict_follows_the_interval(sign, more_is_better):
  # Every difference lies in sign * [1, 2], and so does every resampled mean.
  differences = sign * np.linspace(1, 2, 9)
  pairs = np.stack([np.zeros(9), differences], axis=1)
  found = compare.change(pairs, more_is_better)
  low, high = sorted(sign * bound for bound in found["interval"])
  assert 1 <= low < 1.5 < high <= 2
  better = (sign > 0) == more_is_better
  assert found["verdict"] == ("better" if better else "worse")
  assert (found["wins"], found["losses"]) == ((9, 0) if better else (0, 9))


def test_one_image_is_no_verdict():
  found = compare.change(np.array([[1.0, 3.0]]), True)
  assert found["interval"] == [2, 2]
  assert found["verdict"] == "unclear"
  assert found["wins"] == 1


def test_infinite_pairs_are_left_out_and_counted():
  inf = math.inf
  pairs = np.array([[30, 32], [inf, 40], [40, inf], [inf, inf], [20, 21]])
  found = compare.change(pairs, True)
  assert found["infinite"] == 3
  assert (found["baseline"], found["run"]) == (25, 26.5)
  assert found["difference"] == 1.5
  assert (found["wins"], found["ties"], found["losses"]) == (2, 0, 0)


def names(part):
  return [image["name"] for image in part]


def test_most_different(runs):
  (comparison,) = compare.compare(runs)["comparisons"]
  found = comparison["most_different"]
  assert names(found["better"]) == ["e", "c", "a"]  # 12, 9, 6; b is tied
  assert found["worse"] == [
    {
      "subset": "night",
      "name": "d",
      "baseline": 40,
      "run": 52,
      "difference": 12,
    }
  ]


@pytest.mark.parametrize(
  ("most", "better", "worse"),
  [
    (0, "", ""),
    (1, "", "z"),
    (2, "a", "z"),
    (3, "a", "zy"),
    (4, "ab", "zy"),
    (5, "ab", "zyw"),
    (6, "ab", "zywx"),
    (9, "ab", "zywx"),
  ],
)
def test_both_directions_are_listed(tmp_path, most, better, worse):
  # Equal differences of x and w, and the file's order is not the names'.
  changes = {"z": 9, "x": 5, "w": 5, "y": 8, "b": -1, "a": -2}
  pair = (
    run_of(tmp_path / "a", [image(name, 50) for name in changes]),
    run_of(tmp_path / "b", [image(n, 50 + by) for n, by in changes.items()]),
  )
  (comparison,) = compare.compare(pair, most=most)["comparisons"]
  found = comparison["most_different"]
  assert "".join(names(found["better"])) == better
  assert "".join(names(found["worse"])) == worse


def test_several_runs_against_the_first(tmp_path):
  paths = [
    run_of(tmp_path / "a", [image("x", 10), image("y", 10), image("z", 1)]),
    run_of(tmp_path / "b", [image("y", 30), image("x", 20)]),
    run_of(tmp_path / "c", [image("x", 5), image("y", 5), image("q", 5)]),
  ]
  report = compare.compare(paths)
  # x and y are in all; z and q are not.
  assert (report["images"], report["left_out"]) == (2, 2)
  first, second = report["comparisons"]
  assert (first["baseline"], second["baseline"]) == ("a", "a")
  assert (first["run"], second["run"]) == ("b", "c")
  assert first["all"]["fmse"]["difference"] == 15
  assert first["all"]["fmse"]["verdict"] == "worse"
  assert second["all"]["fmse"]["difference"] == -5
  assert second["all"]["fmse"]["verdict"] == "better"


def test_the_same_name_in_two_subsets(tmp_path):
  pair = (
    run_of(tmp_path / "a", [image("x", 10), image("x", 20, "night")]),
    run_of(tmp_path / "b", [image("x", 25, "night"), image("x", 10)]),
  )
  (comparison,) = compare.compare(pair)["comparisons"]
  fmse = comparison["all"]["fmse"]
  assert (fmse["wins"], fmse["ties"], fmse["losses"]) == (0, 1, 1)


def test_no_common_image(tmp_path):
  pair = (
    run_of(tmp_path / "a", [image("x", 1)]),
    run_of(tmp_path / "b", [image("x", 1, "night")]),
  )
  with pytest.raises(UserError, match=r"no image is in all of .*a.*, .*b"):
    compare.compare(pair)


@pytest.mark.parametrize("name", [*COMPOSITE])
def test_other_composites_are_refused(tmp_path, name):
  change = {f"composite_{name}": COMPOSITE[name] * 1.002}
  pair = (
    run_of(tmp_path / "a", [image("x", 1), image("y", 1)]),
    run_of(tmp_path / "b", [image("x", 1), image("y", 1, **change)]),
  )
  with pytest.raises(
    UserError, match=f"composite_{name} of coco/y is"
  ) as error:
    compare.compare(pair)
  for path in pair:
    assert str(path / "evaluation" / "per_image.csv") in str(error.value)
  assert "\n" not in str(error.value)


def test_composites_may_differ_by_rounding(tmp_path):
  change = {f"composite_{name}": 1.0009 * v for name, v in COMPOSITE.items()}
  same = {"composite_psnr": math.inf, "composite_mse": 0.0}
  pair = (
    run_of(tmp_path / "a", [image("x", 1), image("y", 1, **same)]),
    run_of(tmp_path / "b", [image("x", 1, **change), image("y", 1, **same)]),
  )
  assert compare.compare(pair)["images"] == 2


def test_an_infinite_composite_is_unlike_a_finite_one(tmp_path):
  pair = (
    run_of(tmp_path / "a", [image("x", 1, composite_psnr=math.inf)]),
    run_of(tmp_path / "b", [image("x", 1)]),
  )
  with pytest.raises(UserError, match="composite_psnr of coco/x is inf and 20"):
    compare.compare(pair)


def protocols(folder, *names):
  return run_of(folder, [image("x", 1, protocol=name) for name in names])


@pytest.mark.parametrize(
  ("first", "second", "name", "chosen"),
  [
    (("paper", "standard"), ("standard", "paper"), None, "standard"),
    (("paper", "standard"), ("paper",), None, "paper"),
    (("paper", "standard"), ("standard", "paper"), "paper", "paper"),
    (("paper", "fullres"), ("fullres", "paper"), "fullres", "fullres"),
  ],
)
def test_protocol(tmp_path, first, second, name, chosen):
  pair = protocols(tmp_path / "a", *first), protocols(tmp_path / "b", *second)
  protocol, found = compare.read_runs(pair, name)
  assert protocol == chosen
  for run in found:
    (row,) = run.rows.values()
    assert row["protocol"] == chosen


@pytest.mark.parametrize(
  ("first", "second", "name", "words"),
  [
    (("paper",), ("standard",), None, r"no protocol is common.*a.* has paper"),
    (
      ("paper", "fullres"),
      ("paper", "fullres"),
      None,
      "fullres, paper; choose one by --protocol",
    ),
    (
      ("paper", "standard"),
      ("standard",),
      "papr",
      r"no protocol 'papr'; did you mean 'paper'",
    ),
    (("paper",), ("standard",), "paper", r"b.*per_image.csv has no protocol"),
    (("paper",), (), None, r"b.*has no rows; run hdnet evaluate again"),
  ],
)
def test_protocols_that_do_not_match(tmp_path, first, second, name, words):
  pair = protocols(tmp_path / "a", *first), protocols(tmp_path / "b", *second)
  with pytest.raises(UserError, match=words):
    compare.compare(pair, name)


def test_a_run_given_twice(runs):
  with pytest.raises(UserError, match="is given twice"):
    compare.compare([runs[0], runs[0] / "evaluation"])


def test_files_that_are_bad(tmp_path):
  good = run_of(tmp_path / "good", BASE)
  bad = tmp_path / "bad"
  path = bad / "per_image.csv"

  def refused(words):
    with pytest.raises(UserError, match=words) as error:
      compare.compare([good, bad])
    assert str(bad) in str(error.value)
    assert "hdnet evaluate" in str(error.value)

  refused("does not exist")
  bad.mkdir()
  refused("holds no per_image.csv")
  write(path, BASE, [name for name in COLUMNS if name != "harmonized_fmse"])
  refused("has no column harmonized_fmse")
  write(path, [image("a", 1), image("b", 1, harmonized_mse="1,5")])
  refused("line 3")
  write(path, [image("a", 1), image("a", 2)])
  refused("two images coco/a")
  for value in (math.nan, math.inf):
    write(path, [image("a", 1, harmonized_mse=value)])
    refused(f"harmonized_mse of coco/a is {value}")
  write(path, [image("a", 1, harmonized_psnr=-math.inf)])
  refused("harmonized_psnr of coco/a is -inf")
