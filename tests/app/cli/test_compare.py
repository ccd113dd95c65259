"""`hdnet compare`: what is printed and written."""

import argparse
import json
import math
import os
import re

import pytest

from hdnet_jax.app.cli import compare as command
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import compare

from ...comparisons import BASE, OTHER, image, run_of


def hdnet(*arguments):
  parser = argparse.ArgumentParser()
  command.add(parser.add_subparsers())
  options = parser.parse_args(["compare", *map(str, arguments)])
  options.run(options)


@pytest.fixture
def runs(tmp_path):
  return run_of(tmp_path / "base", BASE), run_of(tmp_path / "other", OTHER)


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
