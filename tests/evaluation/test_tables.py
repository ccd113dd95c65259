import io
import json
import math

import jax
import numpy as np
import pytest
from rich.console import Console

from hdnet_jax.evaluation.protocols import NAMES, standard
from hdnet_jax.evaluation.tables import (
  group,
  ratio_bin,
  report_of,
  summarize,
  table_of,
)


def make_row(
  name: str, subset: str, ratio: float, composite, harmonized
) -> dict:
  """A row of values in the order of NAMES."""
  row = {"name": name, "subset": subset, "ratio": ratio}
  for kind, values in (("composite", composite), ("harmonized", harmonized)):
    row |= {
      f"{kind}_{metric}": value
      for metric, value in zip(NAMES, values, strict=True)
    }
  return row


standard_jit = jax.jit(standard)

ROWS = [
  make_row("d", "night", 0.5, (400, 20, 900, 0.5), (100, 30, 300, 0.75)),
  make_row("a", "coco", 0.02, (200, 30, 800, 0.7), (0, math.inf, 0, 1.0)),
  make_row("c", "night", 0.04, (300, 25, 700, 0.9), (50, 35, 150, 0.95)),
]
FACTS = {"protocol": "standard", "split": "test", "step": 12}


def render(report, width: int = 160) -> str:
  text = io.StringIO()
  Console(file=text, width=width).print(table_of(report))
  return text.getvalue()


def lines_of(text: str, title: str) -> list[list[str]]:
  """The cells of the table's line that begins with `title`, and of the next."""
  lines = [
    [cell.strip() for cell in line.split("│")[1:-1]]
    for line in text.splitlines()
    if line.startswith("│")
  ]
  (place,) = [i for i, cells in enumerate(lines) if cells[0] == title]
  return lines[place : place + 2]


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


@pytest.mark.parametrize(
  ("ratio", "name"),
  [
    (0.0, "0-5 %"),
    (0.01, "0-5 %"),
    (0.05, "0-5 %"),
    (0.0501, "5-15 %"),
    (0.15, "5-15 %"),
    (0.1501, "15-100 %"),
    (1.0, "15-100 %"),
  ],
)
def test_ratio_bins(ratio, name):
  assert ratio_bin({"ratio": ratio}) == name


@pytest.mark.parametrize("size", [40, 120])
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
  # float32 has no 0.05: a ratio may be a little more, depending on the size.
  mask = np.zeros((1, size, size, 1), np.uint8)
  mask.flat[: round(share * size**2) + more] = 1
  image = np.zeros((1, size, size, 3), np.uint8)
  values, _ = standard_jit(image.astype(np.float32), image, image, mask)
  assert ratio_bin({"ratio": float(values["ratio"][0])}) == name


@pytest.mark.parametrize(
  ("bound", "name"), [(0.05, "5-15 %"), (0.15, "15-100 %")]
)
def test_one_pixel_of_a_large_image_over_a_bound(bound, name):
  pixels = 2048**2
  ratio = (int(bound * pixels) + 1) / pixels
  assert ratio_bin({"ratio": float(np.float32(ratio))}) == name


def test_groups_are_in_order_of_appearance():
  groups = group(ROWS, lambda row: row["subset"])
  assert list(groups) == ["night", "coco"]
  assert [row["name"] for row in groups["night"]] == ["d", "c"]
  assert group([], lambda row: row["subset"]) == {}


def test_report():
  report = report_of(ROWS, **FACTS)
  assert {name: report[name] for name in FACTS} == FACTS
  assert report["count"] == 3
  assert report["harmonized"] == summarize(ROWS)["harmonized"]
  # Subsets by name, bins by size.
  assert list(report["by_subset"]) == ["coco", "night"]
  assert list(report["by_foreground_ratio"]) == ["0-5 %", "15-100 %"]
  assert report["by_subset"]["night"] == summarize([ROWS[0], ROWS[2]])
  assert report["by_foreground_ratio"]["0-5 %"] == summarize(ROWS[1:])
  for part in ("by_subset", "by_foreground_ratio"):
    assert sum(group["count"] for group in report[part].values()) == 3


def test_report_is_strict_json():
  report = report_of(ROWS, **FACTS)
  text = json.dumps(report, allow_nan=False)  # no Infinity, which is no JSON
  assert json.loads(text) == report


def test_table():
  text = render(report_of(ROWS, **FACTS))
  assert "protocol 'standard', split 'test', step 12" in text
  assert "1 images equal to the truth are not in the mean PSNR" in text
  assert "MSE ↓" in text
  assert "PSNR ↑" in text
  assert "fMSE ↓" in text
  assert "SSIM ↑" in text
  before, after = lines_of(text, "all")
  numbers = ["300.00", "25.00", "800.00", "0.7000"]
  assert before == ["all", "3", "composite", *numbers]
  numbers = ["50.00", "32.50", "150.00", "0.9000"]
  assert after == ["", "", "harmonized", *numbers]
  before, after = lines_of(text, "night")
  assert before[1:4] == ["2", "composite", "350.00"]
  assert after[3] == "75.00"
  before, after = lines_of(text, "coco")
  assert (before[4], after[4]) == ("30.00", "inf")
  assert lines_of(text, "foreground 0-5 %")[0][1] == "2"
  assert lines_of(text, "foreground 15-100 %")[0][1] == "1"
  assert "foreground 5-15 %" not in text  # no image there


def test_table_fits_a_terminal():
  values = (12345.67, 31.25, 23456.78, 0.8765)
  rows = [make_row("a", "Hday2night", 0.5, values, values)]
  text = render(report_of(rows, **FACTS), width=80)
  # No number is cut: two of each in three rows.
  for number in ("12345.67", "31.25", "23456.78", "0.8765"):
    assert text.count(f" {number} ") == 6
  assert "…" not in text


def test_table_without_perfect_images():
  text = render(report_of([ROWS[0], ROWS[2]], **FACTS))
  assert "equal to the truth" not in text
  assert "inf" not in text
