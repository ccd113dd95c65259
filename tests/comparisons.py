"""Runs whose numbers are compared: their rows, as an evaluation writes them."""

import csv

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


# Of fMSE, in order: three won, one tied, one lost, and by how much.
BASE = [
  *(image("a", 10), image("b", 20), image("c", 30)),
  *(image("d", 40, "night"), image("e", 50, "night")),
]
OTHER = [
  *(image("a", 4), image("b", 20), image("c", 21)),
  *(image("d", 52, "night"), image("e", 38, "night")),
]
