"""Photos a second of `hdnet harmonize` on a folder.

    python benchmarks/folders.py
    python benchmarks/folders.py --photos 9 --megapixels 1 4 --runs 1
    python benchmarks/folders.py --engine onnxruntime jax --threads 1

Makes photos from those inside scikit-image: enlarged, with a camera's noise, 45
of 1 to 12 megapixels in even steps, upright and across in turn, with an ellipse
as the mask. They are always the same. Every run is a process of its own, from
its start to its end, into an empty folder.

Rows: the command as it is, with several photos at work at a time, and the same
with one at a time; of each engine.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
  from PIL.Image import Image

ENGINES = ("onnxruntime", "jax")
AT_A_TIME = {"several at a time": None, "one at a time": 1}
PHOTOS = (
  *("astronaut.png", "chelsea.png", "coffee.png"),
  *("motorcycle_left.png", "rocket.jpg"),
)
NOISE = 2.5  # levels of 255, standard deviation
QUALITY = 92


def main():
  import common

  parser = common.make_parser(__doc__)
  parser.add_argument("--photos", type=int, default=45, help="(default: 45)")
  parser.add_argument(
    "--megapixels",
    type=float,
    nargs=2,
    default=(1.0, 12.0),
    metavar=("LEAST", "MOST"),
    help="of the smallest and the largest photo (default: 1 12)",
  )
  parser.add_argument(
    "--engine",
    nargs="+",
    choices=ENGINES,
    default=["onnxruntime"],
    help="what runs the network (default: onnxruntime)",
  )
  weights = {"type": pathlib.Path, "default": pathlib.Path("hdnet-lite")}
  parser.add_argument("--weights", help="(default: hdnet-lite)", **weights)
  parser.add_argument("--runs", type=int, default=3, help="of each row")
  common.add_common_flags(parser, official=False)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    total = make_folder(folder, args.photos, args.megapixels)
    results = measure(args, folder)
  common.print_table(
    ("row", "photos a second", "seconds", "10 % to 90 %", "peak memory"),
    [
      (
        row["row"],
        common.short(args.photos / row["median"]),
        f"{common.short(row['median'])} s",
        f"{common.spread(row['seconds'])} s",
        common.gigabytes(row["peak"]),
      )
      for row in results
    ],
  )
  print(f"{args.photos} photos of {common.short(total)} megapixels in all.")
  common.write_json(args.json, machine, args, results, megapixels=total)


def make_folder(
  folder: pathlib.Path, count: int, megapixels: tuple[float, float]
) -> float:
  """Write photos to images/ and masks/; return their megapixels in all."""
  import numpy as np

  for kind in ("images", "masks"):
    (folder / kind).mkdir()
  total = 0.0
  for index, size in enumerate(np.linspace(*megapixels, count)):
    long, short = (round((1e6 * size * r) ** 0.5) for r in (4 / 3, 3 / 4))
    width, height = (long, short) if index % 2 == 0 else (short, long)
    photo, mask = make_photo(width, height, index)
    name = f"{index:03d}"
    photo.save(folder / f"images/{name}.jpg", quality=QUALITY)
    mask.save(folder / f"masks/{name}.png")
    total += width * height / 1e6
  return total


def make_photo(width: int, height: int, seed: int) -> tuple["Image", "Image"]:
  """Return a photo and its mask."""
  import numpy as np
  from PIL import Image

  from hdnet_jax.app.demo.examples import load_photo

  rng = np.random.default_rng(seed)
  small = load_photo(PHOTOS[seed % len(PHOTOS)])
  large = small.resize((width, height), Image.Resampling.LANCZOS)
  noise = rng.normal(0, NOISE, (height, width, 1)).astype(np.float32)
  pixels = np.rint((np.asarray(large) + noise).clip(0, 255)).astype(np.uint8)
  across, down, radius = rng.uniform((0.3, 0.3, 0.1), (0.7, 0.7, 0.3))
  y, x = np.ogrid[:height, :width]
  distance = (x / width - across) ** 2 + (y / height - down) ** 2
  return Image.fromarray(pixels), Image.fromarray(distance < radius**2)


def measure(args: argparse.Namespace, folder: pathlib.Path) -> list[dict]:
  import common

  rows = {
    f"{engine}, {words}": {
      "folder": os.fspath(folder),
      "weights": os.fspath(args.weights),
      "engine": engine,
      "threads": threads,
    }
    for engine in args.engine
    for words, threads in AT_A_TIME.items()
  }
  runs: dict[str, list[tuple[float, int]]] = {name: [] for name in rows}
  for _ in range(args.runs):
    for name, case in rows.items():
      shutil.rmtree(folder / "out", ignore_errors=True)
      start = time.perf_counter()
      run = common.run_child(__file__, case)
      if "error" in run:
        sys.exit(f"{name}: {run['error']}")
      runs[name].append((time.perf_counter() - start, run["peak"]))
      written = len(list((folder / "out").iterdir()))
      if written != args.photos:
        sys.exit(f"{name}: {written} of {args.photos} photos were written")
  return [
    {"row": name, **common.summary_of_processes(found)}
    for name, found in runs.items()
  ]


def child(case: dict) -> dict[str, int]:
  from hdnet_jax.app.cli import harmonize_folder

  if case["threads"]:
    harmonize_folder.MAX_THREADS = case["threads"]
  folder = case["folder"]
  return harmonize(
    *("--input-dir", f"{folder}/images", "--mask-dir", f"{folder}/masks"),
    *("--output-dir", f"{folder}/out"),
    *("--weights", case["weights"], "--engine", case["engine"]),
  )


def harmonize(*arguments: str) -> dict[str, int]:
  """Run `hdnet harmonize` in this process; return its largest memory."""
  from hdnet_jax.app.cli import main

  main.main(["harmonize", *arguments])
  import common  # after the command, which does not need it

  return {"peak": common.peak_memory()}


if __name__ == "__main__":
  if sys.argv[1:2] == ["--child"]:  # nothing is imported that is not timed
    print(json.dumps(child(json.loads(sys.argv[2]))))
  else:
    main()
