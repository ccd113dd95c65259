import json
import math
import operator

import numpy as np
import pytest

from hdnet_jax.evaluation import bootstrap
from hdnet_jax.evaluation.metrics import NAMES
from hdnet_jax.evaluation.tables import (
  group,
  ratio_bin,
  report_of,
  summarize,
  tables_of,
  with_intervals,
)
from hdnet_jax.terminal import Table


def make_row(
  name: str,
  subset: str,
  ratio: float,
  composite,
  harmonized,
  protocol="standard",
) -> dict:
  """A row of values in the order of NAMES."""
  row = {"name": name, "subset": subset, "ratio": ratio, "protocol": protocol}
  for kind, values in (("composite", composite), ("harmonized", harmonized)):
    row |= {
      f"{kind}_{metric}": value
      for metric, value in zip(NAMES, values, strict=True)
    }
  return row


ROWS = [
  make_row("d", "night", 0.5, (400, 20, 900, 0.5), (100, 30, 300, 0.75)),
  make_row("a", "coco", 0.02, (200, 30, 800, 0.7), (0, math.inf, 0, 1.0)),
  make_row("c", "night", 0.04, (300, 25, 700, 0.9), (50, 35, 150, 0.95)),
]
FACTS = {"split": "test", "step": 12, "image_size": 256}


def standard(rows=ROWS, **facts):
  return report_of(rows, **FACTS, **facts)["protocols"]["standard"]


def test_means_by_hand():
  assert summarize(ROWS) == {
    "count": 3,
    "composite": {
      "mse": 300,
      "psnr": 25,
      "infinite_psnr": 0,
      "fmse": 800,
      "ssim": pytest.approx(0.7),
    },
    "harmonized": {
      "mse": 50,
      "psnr": 32.5,  # of the two that differ from the truth
      "infinite_psnr": 1,
      "fmse": 150,
      "ssim": pytest.approx(0.9),
    },
  }


def test_all_images_equal_to_the_truth():
  summary = summarize(ROWS[1:2])
  assert summary["harmonized"]["psnr"] is None
  assert summary["harmonized"]["infinite_psnr"] == 1
  assert summary["harmonized"]["mse"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_is_not_left_out(name):
  # It says that something is wrong; a mean over the others would hide it.
  rows = [ROWS[0], ROWS[2] | {f"harmonized_{name}": math.nan}]
  summary = summarize(rows)["harmonized"]
  assert math.isnan(summary[name])
  assert summary["infinite_psnr"] == 0


def test_means_do_not_depend_on_the_order():
  # A naive sum loses the small ones after the large one.
  values = [0.1] * 10 + [1e15]
  rows = [make_row("x", "s", 0.5, 4 * [v], 4 * [v]) for v in values]
  assert summarize(rows) == summarize(rows[::-1])


@pytest.mark.parametrize("size", [40, 120, 256])
@pytest.mark.parametrize(
  ("share", "more", "name"),
  [
    (0.05, 0, "0-5 %"),
    (0.05, 1, "5-15 %"),
    (0.15, 0, "5-15 %"),
    (0.15, 1, "15-100 %"),
    (1.0, 0, "15-100 %"),
  ],
)
def test_ratio_bins_of_masks(size, share, more, name):
  # Bounds belong to the lower bin, to the pixel.
  area = math.floor(share * size**2) + more
  assert ratio_bin({"ratio": area / size**2}) == name


def test_groups_are_in_order_of_appearance():
  groups = group(ROWS, operator.itemgetter("subset"))
  assert list(groups) == ["night", "coco"]
  assert [row["name"] for row in groups["night"]] == ["d", "c"]
  assert group([], operator.itemgetter("subset")) == {}


def test_intervals_hold_the_means():
  summary = with_intervals(ROWS)
  for kind in ("composite", "harmonized"):
    assert set(summary[kind]["interval"]) == set(NAMES)
    for name in NAMES:
      low, high = summary[kind]["interval"][name]
      assert low < summary[kind][name] < high
  # Of the two finite ones.
  assert summary["harmonized"]["interval"]["psnr"] == [30, 35]
  del summary["composite"]["interval"], summary["harmonized"]["interval"]
  assert summary == summarize(ROWS)


def test_no_interval_without_a_mean():
  summary = with_intervals(ROWS[1:2])["harmonized"]
  assert summary["interval"]["psnr"] is None
  assert summary["interval"]["mse"] == [0, 0]


def test_report():
  paper = make_row("d", "night", 0.5, 4 * [1.0], 4 * [2.0], "paper")
  report = report_of([*ROWS, paper], **FACTS)
  assert {name: report[name] for name in FACTS} == FACTS
  assert list(report["protocols"]) == ["standard", "paper"]
  assert report["protocols"]["paper"]["harmonized"]["mse"] == 2
  found = report["protocols"]["standard"]
  assert found["count"] == 3
  assert found["harmonized"] == with_intervals(ROWS)["harmonized"]
  # Subsets by name, bins by size.
  assert list(found["by_subset"]) == ["coco", "night"]
  assert list(found["by_foreground_ratio"]) == ["0-5 %", "15-100 %"]
  assert found["by_subset"]["night"] == with_intervals([ROWS[0], ROWS[2]])
  assert found["by_foreground_ratio"]["0-5 %"] == with_intervals(ROWS[1:])
  for part in ("by_subset", "by_foreground_ratio"):
    assert sum(group["count"] for group in found[part].values()) == 3


def test_report_is_strict_json():
  report = report_of(ROWS, **FACTS)
  text = json.dumps(report, allow_nan=False)  # no Infinity, which is no JSON
  assert json.loads(text) == report


def test_tables():
  by_subset, by_ratio, whole = tables_of(report_of(ROWS, **FACTS))
  assert "'standard': by subset (Table 1)" in by_subset.title
  assert by_subset.header == ("images", "count", "image", "PSNR ↑", "MSE ↓")
  assert [row[:3] for row in by_subset.rows] == [
    ("coco", "1", "composite"),
    ("", "", "harmonized"),
    ("night", "2", "composite"),
    ("", "", "harmonized"),
    ("all", "3", "composite"),
    ("", "", "harmonized"),
  ]
  psnr, mse = by_subset.rows[0][3:]
  assert psnr == "30.00\n[30.00, 30.00]"
  assert mse == "200.00\n[200.00, 200.00]"
  assert by_subset.rows[1][3] == "inf"
  assert by_subset.rows[3][4].startswith("75.00\n[50.00, 100.00]")
  assert "1 images equal to the truth are not in the PSNR" in by_subset.notes[0]
  assert "95 % bootstrap" in by_subset.notes[0]
  assert [row[0] for row in by_ratio.rows[::2]] == ["0-5 %", "15-100 %", "all"]
  assert by_ratio.header[3:] == ("MSE ↓", "fMSE ↓")
  assert "PSNR" not in by_ratio.notes[0]
  assert whole.title == "Protocol 'standard': all images, 256x256"
  assert whole.header[3:] == ("PSNR ↑", "MSE ↓", "fMSE ↓", "SSIM ↑")
  assert [cell.split("\n")[0] for cell in whole.rows[0][3:]] == [
    "25.00",
    "300.00",
    "800.00",
    "0.7000",
  ]


def iharmony4_rows(protocol: str, subsets=("HCOCO", "HAdobe5k")) -> list[dict]:
  numbers = (10.0, 38.0, 100.0, 0.9)
  return [
    make_row(f"{subset} {ratio}", subset, ratio, numbers, numbers, protocol)
    for subset in subsets
    for ratio in (0.01, 0.5)
  ]


def published_lines(table: Table) -> dict[str, list]:
  """What stands beside ours, by group."""
  found, title = {}, ""
  for row in table.rows:
    title = row[0] or title
    if row[2].endswith(", published"):
      found.setdefault(title, []).append((row[2].split(",")[0], *row[3:]))
  return found


def test_published_numbers_stand_beside_ours():
  rows = iharmony4_rows("paper")
  report = report_of(rows, split="test", method="HDNet", image_size=256)
  by_subset, by_ratio, whole = tables_of(report)
  found = published_lines(by_subset)
  assert found["HCOCO"] == [
    ("composite", "33.94", "69.37"),
    ("HDNet", "41.04", "11.60"),
  ]
  assert found["all"] == [
    ("composite", "31.63", "172.47"),
    ("HDNet", "40.46", "16.55"),
  ]
  assert published_lines(by_ratio)["0-5 %"] == [
    ("composite", "28.51", "1208.86"),
    ("HDNet", "4.35", "199.56"),
  ]
  assert published_lines(whole) == {}


def test_published_numbers_of_high_resolution():
  rows = iharmony4_rows("paper", ["HAdobe5k"])
  report = report_of(rows, split="test", method="HDNet", image_size=2048)
  by_subset, _, whole = tables_of(report)
  assert whole.title.endswith("2048x2048 (Table 5)")
  assert published_lines(whole)["all"] == [
    ("HDNet", "41.29", "18.35", "147.25", "0.9911")
  ]
  # One subset needs no line for all.
  assert {row[0] for row in by_subset.rows} == {"HAdobe5k", ""}


@pytest.mark.parametrize(
  "report",
  [
    report_of(iharmony4_rows("standard"), split="test", method="HDNet"),
    report_of(iharmony4_rows("paper"), split="train", method="HDNet"),
    report_of(iharmony4_rows("paper", ["mine"]), split="test", method="HDNet"),
  ],
  ids=["another protocol", "another split", "other data"],
)
def test_published_numbers_stand_beside_nothing_else(report):
  assert all(published_lines(table) == {} for table in tables_of(report))


def test_an_unknown_method_is_beside_the_composite_alone():
  report = report_of(iharmony4_rows("paper"), split="test", method=None)
  (line,) = published_lines(tables_of(report)[0])["HCOCO"]
  assert line[0] == "composite"


def test_bootstrap_of_a_known_distribution(rng):
  # The mean of 400 draws has a deviation of 1/20: 1.96 of them either way.
  values = rng.normal(5, 1, 400)
  low, high = bootstrap.interval(values)
  deviation = values.std() / 20
  assert low == pytest.approx(values.mean() - 1.96 * deviation, abs=0.015)
  assert high == pytest.approx(values.mean() + 1.96 * deviation, abs=0.015)
  assert bootstrap.interval(values) == (low, high)


def test_bootstrap_leaves_out_what_is_missing(rng):
  values = rng.normal(size=50)
  holes = np.concatenate([values, np.full(50, np.nan)])
  (low, high), (none_low, none_high) = bootstrap.intervals(
    np.stack([holes, np.full(100, np.nan)], axis=1)
  )
  assert low < values.mean() < high
  assert np.isnan([none_low, none_high]).all()


def test_bootstrap_in_chunks(rng):
  values = rng.normal(size=30)
  whole = bootstrap.interval(values)
  (chunked,) = bootstrap.intervals(values[:, None], chunk=100)
  assert chunked == pytest.approx(whole, abs=0.05)
