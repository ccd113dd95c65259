"""Times `hdnet harmonize` on one photo, from a new process to the file.

    python benchmarks/command.py
    python benchmarks/command.py --size 4000x3000 --runs 9

Makes photos from one inside scikit-image, enlarged, with a camera's noise and
an ellipse as the mask. Rows: each size, from JPEG and PNG to JPEG and PNG; they
take turns. Files are in the system's own cache: each row is run once before.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

FORMATS = (("jpg", "jpg"), ("jpg", "png"), ("png", "png"))


def main():
  import common

  parser = common.make_parser(__doc__)
  parser.add_argument(
    "--size",
    nargs="+",
    default=["512x512", "4000x3000"],
    metavar="WxH",
    help="of the photos (default: 512x512 4000x3000)",
  )
  weights = {"type": pathlib.Path, "default": pathlib.Path("hdnet-lite")}
  parser.add_argument("--weights", help="(default: hdnet-lite)", **weights)
  parser.add_argument("--runs", type=int, default=5, help="of each row")
  common.add_common_flags(parser, official=False)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  with tempfile.TemporaryDirectory() as folder:
    results = measure(args, pathlib.Path(folder))
  common.print_table(
    ("photo", "from", "to", "seconds", "all runs", "peak memory"),
    [
      (
        row["size"],
        row["from"],
        row["to"],
        f"{row['median']:.2f}",
        ", ".join(f"{seconds:.2f}" for seconds in sorted(row["seconds"])),
        common.gigabytes(row["peak"]),
      )
      for row in results
    ],
  )
  common.write_json(args.json, machine, args, results)


def measure(args: argparse.Namespace, folder: pathlib.Path) -> list[dict]:
  import common
  import folders

  runs: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
  for size in args.size:
    width, height = map(int, size.split("x"))
    photo, mask = folders.make_photo(width, height, seed=0)
    for suffix in ("jpg", "png"):
      photo.save(folder / f"{size}.{suffix}", quality=folders.QUALITY)
    mask.save(folder / f"{size}_mask.png")
    runs |= {(size, *formats): [] for formats in FORMATS}
  for turn in range(args.runs + 1):
    for (size, before, after), found in runs.items():
      output = folder / f"out.{after}"
      case = {
        "photo": os.fspath(folder / f"{size}.{before}"),
        "mask": os.fspath(folder / f"{size}_mask.png"),
        "output": os.fspath(output),
        "weights": os.fspath(args.weights),
      }
      start = time.perf_counter()
      run = common.run_child(__file__, case)
      seconds = time.perf_counter() - start
      if "error" in run:
        sys.exit(f"{size}, {before} to {after}: {run['error']}")
      output.unlink()  # fails where there is none
      if turn:
        found.append((seconds, run["peak"]))
  return [
    {
      **dict(zip(("size", "from", "to"), names, strict=True)),
      **common.summary_of_processes(found),
    }
    for names, found in runs.items()
  ]


def child(case: dict) -> dict[str, int]:
  import folders

  return folders.harmonize(
    *(case["photo"], case["mask"], "-o", case["output"]),
    *("--weights", case["weights"]),
  )


if __name__ == "__main__":
  if sys.argv[1:2] == ["--child"]:  # nothing is imported that is not timed
    print(json.dumps(child(json.loads(sys.argv[2]))))
  else:
    main()
