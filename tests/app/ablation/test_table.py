"""The table and the figure of finished runs."""

import dataclasses
import math
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import bootstrap, visuals
from hdnet_jax.model.architecture import parameter_shapes

from .runs import draw, images, save_run


def test_golden_numbers(workdir, config_file):
  with (workdir / "k3" / "metrics.jsonl").open("a") as file:
    file.write('{"step": 3')  # is being written
  report = draw(workdir, config_file)
  base, hdnet, k3 = report["rows"]
  assert report["images"] == 4
  assert report["missing"] == []
  assert report["composite"]["psnr"] == 20
  assert base["means"] == {
    "psnr": 31.5,
    "mse": 2.5,
    "fmse": 25,
    "ssim": pytest.approx(0.95),
    "infinite_psnr": 0,
  }
  assert base["difference"] is None
  assert (base["steps"], base["images_per_second"]) == (30, 7)
  assert hdnet["means"]["psnr"] == 32.125
  assert hdnet["difference"]["psnr"]["mean"] == 0.625
  assert hdnet["difference"]["fmse"]["mean"] == -10
  low, high = bootstrap.interval(np.array([1, 0.5, 0, 1]))
  assert hdnet["difference"]["psnr"]["low"] == low
  assert hdnet["difference"]["psnr"]["high"] == high
  bounds = bootstrap.interval(np.array([32.0, 32, 32, 34]))
  assert k3["psnr_interval"] == list(bounds)
  shapes = parameter_shapes(ModelConfig(width=2)).values()
  assert hdnet["parameters"] == sum(map(math.prod, shapes))
  assert base["parameters"] < hdnet["parameters"]


def test_the_text(workdir, config_file, capsys):
  report = draw(workdir, config_file)
  text = (workdir / "ablation.md").read_text()
  lines = text.splitlines()
  assert lines[2].startswith("| row | LD | MGD | parameters | steps | PSNR ↑")
  assert lines[4].startswith("| composite |")
  parameters = f"{report['rows'][1]['parameters']:,}"
  assert lines[6].startswith(
    f"| hdnet | K = 1 | mask | {parameters} | 30 | 32.12 | 1.50 | 15.00 | "
    "0.9500 | +0.62 ["
  )
  assert lines[5].startswith("| base | – | – |")
  assert lines[5].endswith("| – | – |")
  printed = capsys.readouterr().out
  assert "hdnet" in printed
  assert "K = 3" in printed
  # The same runs give the same text.
  draw(workdir, config_file)
  assert (workdir / "ablation.md").read_text() == text


def test_missing_rows_are_named(workdir, config_file):
  save_run(workdir / "k3_seed1", images([1, 2, 3, 4]), finished=False)
  report = draw(workdir, config_file, "--rows", "k3", "hdnet", "--seeds", 0, 1)
  assert report["missing"] == ["k3_seed1", "hdnet_seed1"]
  text = (workdir / "ablation.md").read_text()
  assert "Not finished: k3_seed1, hdnet_seed1." in text


def test_without_the_baseline_there_are_no_differences(workdir, config_file):
  (workdir / "base" / "evaluation" / "metrics.json").unlink()
  report = draw(workdir, config_file)
  assert report["missing"] == ["base"]
  assert [row["difference"] for row in report["rows"]] == [None, None]
  assert "base has no run" in (workdir / "ablation.md").read_text()
  other = draw(workdir, config_file, "--baseline", "k3")
  assert other["rows"][0]["difference"]["psnr"]["mean"] == -0.375


def test_seeds(workdir, config_file):
  save_run(workdir / "base_seed1", images([31, 32, 33, 34]), seed=1)
  save_run(workdir / "hdnet_seed1", images([31, 32, 33, 35]), seed=1)
  save_run(workdir / "hdnet_seed2", images([40, 40, 40, 40]), seed=2)
  report = draw(workdir, config_file, "--seeds", 0, 1, 2)
  base, hdnet, _ = report["rows"]
  assert base["means"]["psnr"] == 32
  assert base["spread"]["psnr"] == pytest.approx(math.sqrt(0.5))
  assert list(hdnet["seeds"]) == ["0", "1", "2"]
  assert hdnet["seeds"]["2"]["psnr"] == 40
  # Of the seeds that both have: 0.625 and 0.25.
  assert hdnet["difference"]["seeds"] == [0, 1]
  assert hdnet["difference"]["psnr"]["mean"] == 0.4375
  text = (workdir / "ablation.md").read_text()
  assert "| 32.00 ± 0.71 |" in text
  assert "| hdnet | 2 | 40.00 |" in text


def test_infinite_psnrs_are_left_out_and_counted(workdir, config_file):
  save_run(workdir / "hdnet_seed1", images([math.inf] * 4), seed=1)
  save_run(workdir / "k3_seed1", images([math.inf, 1, 2, 3]), seed=1)
  report = draw(workdir, config_file, "--seeds", 1, "--rows", "hdnet", "k3")
  hdnet, k3 = report["rows"]
  assert hdnet["means"]["psnr"] is None
  assert hdnet["psnr_interval"] is None
  assert (k3["means"]["psnr"], k3["means"]["infinite_psnr"]) == (2, 1)
  assert k3["difference"]["psnr"] is None
  assert k3["difference"]["fmse"]["images"] == 4
  text = (workdir / "ablation.md").read_text()
  assert "| inf |" in text
  assert "5 infinite PSNRs" in text


def test_protocols(workdir, config_file):
  both = images([30, 30]) + images([10, 12], protocol="paste")
  for folder in (workdir / "base_seed1", workdir / "hdnet_seed1"):
    save_run(folder, both, seed=1)
  options = ("--seeds", 1, "--rows", "base", "hdnet")
  report = draw(workdir, config_file, *options)
  assert (report["protocol"], report["images"]) == ("standard", 2)
  report = draw(workdir, config_file, *options, "--protocol", "paste")
  assert report["rows"][0]["means"]["psnr"] == 11
  with pytest.raises(UserError, match="no protocol 'no', only standard, paste"):
    draw(workdir, config_file, *options, "--protocol", "no")


def edit(path: pathlib.Path, old: str, new: str) -> None:
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
  ("file", "old", "new", "words"),
  [
    ("config.json", '"epochs": 6.0', '"epochs": 7.0', "epochs: 6.0 -> 7.0"),
    ("evaluation/metrics.json", '"last"', '"best"', "of the best checkpoint"),
    ("evaluation/per_image.csv", "p0", "q0", "not evaluated on the images"),
    ("evaluation/per_image.csv", ",100.0,", ",9.0,", "on other composites"),
    ("evaluation/per_image.csv", "harmonized_", "after_", "has no column"),
    ("evaluation/per_image.csv", "31.5", "much", "line 3: not 18 values"),
    ("metrics.jsonl", "}", "", "a line that is not JSON"),
    ("metrics.jsonl", "train/", "other/", "no step of training"),
  ],
)
def test_what_cannot_be_compared(workdir, config_file, file, old, new, words):
  edit(workdir / "hdnet" / file, old, new)
  with pytest.raises(UserError, match=re.escape(words)):
    draw(workdir, config_file)
  assert not (workdir / "ablation.md").exists()


def width(path: pathlib.Path) -> int:
  with Image.open(path) as image:
    image.load()
    assert image.format == "PNG"
    return image.width


def test_the_figure_has_a_panel_for_neighbors(workdir, config_file):
  draw(workdir, config_file)
  both = width(workdir / "ablation.png")
  draw(workdir, config_file, "--rows", "base", "hdnet")
  assert width(workdir / "ablation.png") == both / 2
  assert not list(workdir.glob(".*"))
  # A PSNR that is infinite has no place in it.
  save_run(workdir / "base_seed1", images([math.inf] * 4), seed=1)
  draw(workdir, config_file, "--seeds", 1, "--rows", "base")
  width(workdir / "ablation.png")


def row_of(name, **model) -> dict:
  model = dataclasses.asdict(ModelConfig(**model))
  return {"row": name, "model": model, "means": {"psnr": 30.0}}


def test_the_curve_is_of_rows_that_differ_in_neighbors_only():
  rows = [
    row_of("none", local_dynamics="none", neighbors=5),
    row_of("wide", width=8, neighbors=7),
    row_of("k3", neighbors=3),
    row_of("hdnet"),
    row_of("again"),
  ]
  curve = visuals.neighbors_curve(rows)
  assert [row["row"] for row in curve] == ["hdnet", "k3"]
  assert visuals.neighbors_curve(rows[:2]) == []
