"""Draws pasted objects before and after, for README.md.

    python benchmarks/pasted.py --weights hdnet-lite -o docs/pasted.jpg

Objects of scikit-image's photos go onto other photos of its, through the same
code as `hdnet compose`. There is no truth for them: one looks.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image

from hdnet_jax.app.demo.examples import PASTINGS, Pasting, paste_on_photo
from hdnet_jax.inference.harmonizer import Harmonizer

WIDTH, GAP = 900, 8  # pixels


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--weights", default="hdnet-lite")
  parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
  args = parser.parse_args()
  harmonizer = Harmonizer.from_pretrained(args.weights)
  rows = [draw(harmonizer, pasting) for pasting in PASTINGS]
  sheet = rows[0]
  for row in rows[1:]:
    sheet = beside(sheet, row, axis=0)
  Image.fromarray(sheet).save(args.output, quality=88)
  print(args.output)


def draw(harmonizer: Harmonizer, pasting: Pasting) -> np.ndarray:
  """Return the composite and what becomes of it, side by side."""
  pasted = paste_on_photo(pasting)
  after = harmonizer.harmonize(pasted.pixels, pasted.mask)
  row = Image.fromarray(beside(pasted.pixels, after, axis=1))
  return np.asarray(row.resize((WIDTH, round(row.height * WIDTH / row.width))))


def beside(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
  """Put images of the same height beside each other, or of the same width."""
  white = list(a.shape)
  white[axis] = GAP
  return np.concatenate([a, np.full(white, 255, np.uint8), b], axis)


if __name__ == "__main__":
  main()
