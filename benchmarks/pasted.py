"""Draws pasted objects before and after, for README.md.

    python benchmarks/pasted.py --weights hdnet-lite -o docs/pasted.jpg

Objects of scikit-image's photos go onto other photos of its, through the same
code as `hdnet compose`. There is no truth for them: one looks.
"""

import argparse
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np
from PIL import Image

from hdnet_jax.app.demo import examples
from hdnet_jax.images.reading import read_picture
from hdnet_jax.inference.harmonizer import Harmonizer
from hdnet_jax.inference.paste import paste

WIDTH, GAP = 900, 8  # pixels


class Pasting(NamedTuple):
  cutout: str  # of the page's examples
  photo: str  # of scikit-image
  at: tuple[int, int]
  scale: float


PASTINGS = (
  Pasting("cup", "motorcycle_left.png", (255, 270), 0.55),
  Pasting("astronaut", "rocket.jpg", (30, 100), 0.64),
)


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--weights", default="hdnet-lite")
  parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
  args = parser.parse_args()
  harmonizer = Harmonizer.from_pretrained(args.weights)
  with tempfile.TemporaryDirectory() as folder:
    rows = [draw(harmonizer, p, pathlib.Path(folder)) for p in PASTINGS]
  sheet = rows[0]
  for row in rows[1:]:
    sheet = beside(sheet, row, axis=0)
  Image.fromarray(sheet).save(args.output, quality=88)
  print(args.output)


def draw(
  harmonizer: Harmonizer, pasting: Pasting, folder: pathlib.Path
) -> np.ndarray:
  """Return the composite and what becomes of it, side by side."""
  photo, cutout = folder / "photo.png", folder / "cutout.png"
  examples.load_photo(pasting.photo).save(photo)
  examples.cut_out(pasting.cutout).save(cutout)
  pasted = paste(
    read_picture(cutout), read_picture(photo), pasting.at, pasting.scale
  )
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
