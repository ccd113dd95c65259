"""Runs of an ablation, as files."""

import csv
import dataclasses
import json
import pathlib

from hdnet_jax.app.cli.main import parse
from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig, only
from hdnet_jax.evaluation.metrics import SHIFTS
from hdnet_jax.evaluation.tables import COLUMNS, KINDS

ROOT = pathlib.Path(__file__).parents[3]
PAPER = ROOT / "configs/ablation.py"
NEIGHBORS = ROOT / "configs/neighbors.py"
PHOTOS = ROOT / "configs/ablation_photos.py"

# A file of rows: the settings that all share are the test's.
CONFIG_FILE = """
from hdnet_jax import config

ROWS = {rows!r}
SHARED = {shared!r}


def get_config(row="base"):
  run = config.Config.from_dict(SHARED)
  model = {{**SHARED["model"], **ROWS[row]}}
  return config.make_config_dict(
    config.Config.from_dict({{**SHARED, "name": row, "model": model}})
  )
"""
ROWS = {
  "base": {"local_dynamics": "none", "global_dynamics": "none"},
  "hdnet": {},
  "k3": {"neighbors": 3},
}
SHARED = Config(
  batch_size=4,
  eval_batch_size=4,
  epochs=6.0,
  log_every=1,
  eval_every=100,
  save_every=1,
  model=ModelConfig(width=2),
  data=DataConfig(
    source="photos",
    image_size=32,
    threads=1,
    # What compiles fast.
    composites=only("light"),
    evaluation_composites=only("light"),
  ),
  mesh=MeshConfig(data=1),
)


def call(*arguments) -> None:
  """`hdnet ablation`, without the other commands."""
  options = parse(["ablation", *map(str, arguments)])
  options.run(options)


def images(psnr, mse=None, composite=20.0, protocol="standard"):
  """One row an image, as per_image.csv has them."""
  mse = [float(i + 1) for i in range(len(psnr))] if mse is None else mse
  return [
    {
      "name": f"p{number}",
      "subset": "photos",
      "protocol": protocol,
      "ratio": 0.1,
      "composite_mse": 100.0,
      "composite_psnr": composite,
      "composite_fmse": 1000.0,
      "composite_ssim": 0.9,
      "harmonized_mse": mse[number],
      "harmonized_psnr": value,
      "harmonized_fmse": 10 * mse[number],
      "harmonized_ssim": 0.95,
      **{f"{kind}_{name}": 1.0 for kind in KINDS for name in SHIFTS},
    }
    for number, value in enumerate(psnr)
  ]


def save_run(
  folder: pathlib.Path, rows, finished=True, seed=0, **model
) -> None:
  """The files of a run that are read, with lines as training writes them."""
  model = dataclasses.replace(SHARED.model, **model)
  config = dataclasses.replace(SHARED, model=model, seed=seed)
  (folder / "evaluation").mkdir(parents=True)
  (folder / "config.json").write_text(json.dumps(config.to_dict()))
  (folder / "evaluation" / "metrics.json").write_text(
    '{"checkpoint": "last", "step": 30}'
  )
  lines = [
    {"step": step, "train/loss": 0.1, "train/images_per_second": speed}
    for step, speed in ((10, 1.0), (20, 9.0), (30, 7.0))
  ]
  if finished:
    lines.append({"step": 30, "test/psnr": 1.0})
  text = "".join(json.dumps(line) + "\n" for line in lines)
  (folder / "metrics.jsonl").write_text(text)
  with (folder / "evaluation" / "per_image.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)


def draw(workdir, config_file, *arguments) -> dict:
  call("--workdir", workdir, "--config", config_file, "--no-train", *arguments)
  return json.loads((workdir / "ablation.json").read_text())
