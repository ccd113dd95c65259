"""Copies a folder of photos, with random regions in place of its objects.

    python benchmarks/random_masks.py --root photos --out random
    python train.py --config=configs/release_lite.py --config.data.root=random

For a trial of pretraining on photos without objects, after LEMaRT (Liu et al.
2023): each mask becomes the union of one to four rectangles of its size, with
sides of 15 to 60 % of the photo's. Photos are links to those of the folder, of
the same names, so that the splits stay as they are.
"""

import argparse
import csv
import pathlib
import shutil

import numpy as np
from PIL import Image


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--root", type=pathlib.Path, required=True)
  parser.add_argument("--out", type=pathlib.Path, required=True)
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  if args.out.exists():
    parser.error(f"{args.out} exists; name another folder")
  args.out.mkdir(parents=True)
  shutil.copy(args.root / "manifest.csv", args.out)
  (args.out / "images").symlink_to((args.root / "images").absolute())
  rng = np.random.default_rng(args.seed)
  with (args.root / "manifest.csv").open(newline="", encoding="utf-8") as file:
    names = [row["mask"] for row in csv.DictReader(file)]
  for name in names:
    with Image.open(args.root / name) as mask:
      width, height = mask.size
    path = args.out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(region(rng, height, width)).save(path)
  print(f"{len(names)} masks in {args.out}")


def region(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
  """uint8 [height, width], 255 inside."""
  mask = np.zeros((height, width), np.uint8)
  for _ in range(rng.integers(1, 5)):
    sides = np.rint(rng.uniform(0.15, 0.6, 2) * (height, width)).astype(int)
    top, left = rng.integers(0, (height, width) - sides + 1)
    mask[top : top + sides[0], left : left + sides[1]] = 255
  return mask


if __name__ == "__main__":
  main()
