"""Times a photo of any size through the harmonizer, from pixels to pixels.

    python benchmarks/large_photo.py
    python benchmarks/large_photo.py --size 4000x3000 7680x4320 --weights FILE

Mode "guided", after compilation, with an object on a fifth of the image and on
all of it. Prints the median of the runs, and the process' largest resident
memory so far: sizes are taken in ascending order. The pixels are random, and so
are the weights where none are given: the time does not depend on them.
"""

import argparse
import time
import warnings

import jax
import numpy as np
from common import peak_memory

from hdnet_jax.config import ModelConfig
from hdnet_jax.inference.engine import make_engine
from hdnet_jax.inference.harmonizer import Harmonizer, MaskWarning
from hdnet_jax.model.hdnet import HDNet


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    "--size",
    nargs="+",
    default=["1024x768", "4000x3000", "7680x4320"],
    metavar="WxH",
    help="of the photos (default: 1024x768 4000x3000 7680x4320)",
  )
  parser.add_argument("--weights", help="file or run's folder")
  parser.add_argument(
    "--runs", type=int, default=5, help="of each (default: 5)"
  )
  args = parser.parse_args()
  sizes = [tuple(int(side) for side in size.split("x")) for size in args.size]
  harmonizer = (
    Harmonizer.from_pretrained(args.weights) if args.weights else untrained()
  )
  rng = np.random.default_rng(0)
  print(
    f"{'size':>10s} {'object':>7s} {'median':>8s} {'slowest':>8s} {'peak':>8s}"
  )
  for width, height in sorted(sizes, key=np.prod):
    photo = rng.integers(0, 256, (height, width, 3), np.uint8)
    for rows in (height // 5, height):
      mask = np.zeros((height, width), bool)
      mask[:rows] = True
      harmonizer(photo, mask)  # compiles
      seconds = []
      for _ in range(args.runs):
        start = time.perf_counter()
        harmonizer(photo, mask)
        seconds.append(time.perf_counter() - start)
      print(
        f"{width:>5d}x{height:<4d} {rows / height:7.0%} "
        f"{np.median(seconds):6.2f} s {max(seconds):6.2f} s "
        f"{peak_memory() / 1e9:5.2f} GB",
        flush=True,
      )


def untrained() -> Harmonizer:
  """HDNet-lite with random weights."""
  model = ModelConfig(width=8)
  image, mask = np.zeros((1, 64, 64, 3)), np.zeros((1, 64, 64, 1))
  params = HDNet(width=8).init(jax.random.key(0), image, mask)["params"]
  return Harmonizer(make_engine(params, model, "jax"))


if __name__ == "__main__":
  warnings.simplefilter("ignore", MaskWarning)  # of the object on everything
  main()
