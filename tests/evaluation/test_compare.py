import argparse
import csv
import json
import math
import os
import re

import numpy as np
import pytest

from hdnet_jax.app.cli import compare as command
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import compare
from hdnet_jax.evaluation.metrics import SHIFTS
from hdnet_jax.evaluation.tables import COLUMNS, KINDS

COMPOSITE = {"psnr": 20.0, "mse": 400.0, "fmse": 900.0, "ssim": 0.5}


def image(name, fmse, subset="coco", protocol="standard", **more):
  """A row whose other metrics are easy numbers made from its fMSE."""
  after = {"psnr": 50 - fmse / 10, "mse": fmse / 2, "fmse": fmse, "ssim": 0.5}
  row = {"name": name, "subset": subset, "protocol": protocol, "ratio": 0.5}
  row |= {f"composite_{name}": value for name, value in COMPOSITE.items()}
  row |= {f"harmonized_{name}": value for name, value in after.items()}
  row |= {f"{kind}_{name}": 0.0 for kind in KINDS for name in SHIFTS}
  return row | more


def write(path, rows, columns=COLUMNS):
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open("w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
  return path


def run_of(folder, rows):
  write(folder / "evaluation" / "per_image.csv", rows)
  return folder


def hdnet(*arguments):
  parser = argparse.ArgumentParser()
  command.add(parser.add_subparsers())
  options = parser.parse_args(["compare", *map(str, arguments)])
  options.run(options)


# Of fMSE, in order: three won, one tied, one lost, and by how much.
BASE = [
  *(image("a", 10), image("b", 20), image("c", 30)),
  *(image("d", 40, "night"), image("e", 50, "night")),
]
OTHER = [
  *(image("a", 4), image("b", 20), image("c", 21)),
  *(image("d", 52, "night"), image("e", 38, "night")),
]


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


def test_all_pairs_infinite(tmp_path, capsys):
  rows = [image("a", 0, harmonized_psnr=math.inf)]
  pair = run_of(tmp_path / "a", rows), run_of(tmp_path / "b", rows)
  hdnet(*pair, "--output", tmp_path / "out")
  psnr = json.loads((tmp_path / "out" / "compare.json").read_text())[
    "comparisons"
  ][0]["all"]["psnr"]
  assert psnr == {
    **dict.fromkeys(("baseline", "run", "difference", "interval")),
    "verdict": "unclear",
    "wins": 0,
    "ties": 0,
    "losses": 0,
    "infinite": 1,
  }
  words = " ".join(capsys.readouterr().out.split())  # as they are wrapped
  assert "PSNR without 1 images equal to the truth" in words


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


def test_one_run_only(runs):
  with pytest.raises(UserError, match="name two or more"):
    hdnet(runs[0])


def test_most_of_less_than_none(runs):
  with pytest.raises(UserError, match="--most must be 0 or more, not -1"):
    hdnet(*runs, "--most", "-1")


def test_what_is_printed(runs, capsys):
  hdnet(*runs)
  text = capsys.readouterr().out
  lines = [
    [cell.strip() for cell in line.split("│")[1:-1]]
    for line in text.splitlines()
    if line.startswith("│")
  ]
  assert "protocol 'standard', 5 images compared\n" in text
  assert "left out" not in text
  hdnet(runs[0], run_of(runs[0].parent / "equal", BASE))
  assert "differ most" not in capsys.readouterr().out
  assert "other against base" in text
  assert "does not tell how much another training seed" in text
  psnr, _, fmse, ssim = lines[8:12]
  assert psnr[:5] == ["all", "5", "PSNR ↑", "47.00", "47.30"]
  assert fmse[:5] == ["", "", "fMSE ↓", "30.00", "27.00"]
  assert re.fullmatch(r"-3\.00 \[-\d+\.\d\d, \+\d+\.\d\d\]", fmse[5])
  assert fmse[6:] == ["3 / 1 / 1", "unclear"]
  assert ssim[5] == "+0.00000 [+0.00000, +0.00000]"
  assert lines[12:] == [
    ["better", "-12.00", "night/e", "50.00", "38.00"],
    ["", "-9.00", "coco/c", "30.00", "21.00"],
    ["", "-6.00", "coco/a", "10.00", "4.00"],
    ["worse", "+12.00", "night/d", "40.00", "52.00"],
  ]


def test_left_out_images_are_told(tmp_path, capsys):
  hdnet(run_of(tmp_path / "a", BASE), run_of(tmp_path / "b", OTHER[1:]))
  text = capsys.readouterr().out
  assert "4 images compared; 1 not in all runs are left out" in text


def test_output(runs, tmp_path, capsys):
  hdnet(*runs, "--output", tmp_path / "new" / "out")
  folder = tmp_path / "new" / "out"
  # No temporary file is left.
  assert sorted(os.listdir(folder)) == ["compare.json", "compare.md"]
  report = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
  assert report == compare.compare(runs)
  text = (folder / "compare.md").read_text(encoding="utf-8")
  assert "| all | 5 | PSNR ↑ | 47.00 | 47.30 |" in text
  assert "| worse | +12.00 | night/d | 40.00 | 52.00 |" in text
  assert "does not tell how much another training seed" in text
  assert str(tmp_path) not in text
  assert f"tables   {folder / 'compare.md'}" in capsys.readouterr().out


def test_output_that_is_a_file(runs, tmp_path):
  path = tmp_path / "file"
  path.touch()
  for output in (path, path / "below"):
    with pytest.raises(UserError, match=r"--output .* name another folder"):
      hdnet(*runs, "--output", output)


def test_the_same_whatever_the_order_of_rows(tmp_path, rng):
  numbers = rng.gamma(2, 50, (40, 2))
  sides = [
    [image(f"{i:02d}", value) for i, value in enumerate(column)]
    for column in numbers.T
  ]
  texts = []
  for number, step in enumerate((1, -1)):
    folder = tmp_path / str(number)
    pair = [
      run_of(folder / name, side[::step])
      for name, side in zip("ab", sides, strict=True)
    ]
    for again in ("out", "again"):
      hdnet(*pair, "--output", folder / again)
      texts.append(
        [path.read_bytes() for path in sorted((folder / again).iterdir())]
      )
  assert texts.count(texts[0]) == 4
