"""Time and memory of inference against pixels, and against the foreground.

    python benchmarks/growth.py --figure growth.png --json growth.json
    python benchmarks/growth.py --size 128 256 512 --official HDNet

HDNet-lite, an image at a time. Every point is a process of its own: it
compiles, runs once, and then until --runs are done or --seconds are over. The
points are gone through --rounds times, so that a slow minute of the machine
does not fall on one of them; a point's time is the median over all rounds, its
memory the largest resident set of any. --shares are of the image's area, at
--share-size.

The exponent is the slope of log time in log pixels: 1 where time grows as the
pixels do, 2 where it grows as their square. It is fitted to all sizes, and to
the two largest, where what grows fastest shows.
"""

import argparse
import math
import os
import pathlib
import statistics

import common
import memory

Point = tuple[str, int, float]  # program, size, share


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument(
    "--size", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096]
  )
  parser.add_argument(
    "--shares", type=float, nargs="*", default=[0.01, 0.1, 0.25, 0.5, 0.9, 1]
  )
  parser.add_argument("--share-size", type=int, default=1024)
  parser.add_argument("--width", type=int, default=8, help="n of the network")
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--runs", type=int, default=10, help="of each, a round")
  parser.add_argument("--seconds", type=float, default=20, help="of runs, too")
  parser.add_argument("--limit", type=float, help="GB that a process may take")
  parser.add_argument("--timeout", type=float, default=7200, help="s, of each")
  parser.add_argument("--figure", type=pathlib.Path, help="PNG to draw")
  common.add_common_flags(parser)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  results = measure(args)
  exponents = fit_all(results)
  print_table(results)
  for name, found in exponents.items():
    print(f"{common.TITLES[name]}: " + describe(found))
  if args.figure:
    draw(args.figure, results, exponents)
  common.write_json(args.json, machine, args, results, exponents=exponents)


def measure(args: argparse.Namespace) -> list[dict]:
  points = make_points(args)
  found: dict[Point, list[dict]] = {point: [] for point in points}
  for _ in range(args.rounds):
    for point, rounds in found.items():
      # What failed once, for memory or time, is not tried again.
      if not any("error" in done for done in rounds):
        rounds.append(memory.run(case(point, args), args.limit, args.timeout))
  return [summary(point, rounds) for point, rounds in found.items()]


def make_points(args: argparse.Namespace) -> list[Point]:
  kinds = common.kinds(args.official)
  points = [(kind, size, 0.25) for size in args.size for kind in kinds]
  points += [
    (kind, args.share_size, share) for share in args.shares for kind in kinds
  ]
  return list(dict.fromkeys(points))


def case(point: Point, args: argparse.Namespace) -> dict:
  kind, size, share = point
  return {
    "task": "inference",
    "kind": kind,
    "size": size,
    "share": share,
    "batch": 1,
    "width": args.width,
    "official": args.official and os.fspath(args.official.resolve()),
    "runs": args.runs + 1,
    "seconds": args.seconds,
  }


def summary(point: Point, rounds: list[dict]) -> dict:
  row = dict(zip(("program", "size", "share"), point, strict=True))
  errors = [done["error"] for done in rounds if "error" in done]
  if errors:
    return row | {"error": errors[0]}
  seconds = [second for done in rounds for second in done["seconds"]]
  return row | {
    **common.summary(seconds),
    "peak": max(done["peak"] for done in rounds),
    # What is there before the first run is no part of what grows.
    "added": max(done["peak"] - done["before"] for done in rounds),
    "planned": rounds[0]["planned"],
  }


def of_sizes(results: list[dict], program: str) -> list[dict]:
  """The points that differ in size, by size, without those that failed."""
  rows = [
    row
    for row in results
    if row["program"] == program and row["share"] == 0.25 and "median" in row
  ]
  return sorted(rows, key=lambda row: row["size"])


def fit_all(results: list[dict]) -> dict[str, dict[str, float]]:
  """Exponents of time, and of added memory, in pixels, by program."""
  exponents = {}
  for program in dict.fromkeys(row["program"] for row in results):
    rows = of_sizes(results, program)
    if len(rows) > 1:
      pixels = [row["size"] ** 2 for row in rows]
      seconds = [row["median"] for row in rows]
      exponents[program] = {
        "time": exponent(pixels, seconds),
        "time_largest_two": exponent(pixels[-2:], seconds[-2:]),
        # Small images may fit into what is there.
        "memory_largest_two": exponent(
          pixels[-2:], [max(row["added"], 1) for row in rows[-2:]]
        ),
      }
  return exponents


def exponent(x: list[float], y: list[float]) -> float:
  """The slope of log y in log x, least squares."""
  fit = statistics.linear_regression(map_log(x), map_log(y))
  return fit.slope


def map_log(values: list[float]) -> list[float]:
  return [math.log(value) for value in values]


def describe(found: dict[str, float]) -> str:
  return (
    f"time grows with pixels to the power of {found['time']:.2f} "
    f"({found['time_largest_two']:.2f} between the two largest sizes), memory "
    f"with {found['memory_largest_two']:.2f} between these"
  )


def print_table(results: list[dict]) -> None:
  rows = []
  for row in results:
    cells = [
      common.TITLES[row["program"]],
      f"{row['size']}x{row['size']}",
      f"{row['share']:.0%}",
    ]
    if "error" in row:
      cells += ["", "", "", "", row["error"]]
    else:
      cells += [
        f"{common.short(row['median'])} s",
        f"{common.spread(row['seconds'])} s",
        common.gigabytes(row["peak"]),
        common.gigabytes(row["planned"]),
        "",
      ]
    rows.append(cells)
  common.print_table(
    (
      "program",
      "size",
      "foreground",
      "median",
      "10 % to 90 %",
      "peak",
      "planned",
      "error",
    ),
    rows,
  )


def draw(path: pathlib.Path, results: list[dict], exponents: dict) -> None:
  """Time and memory over pixels, and time over the foreground's share."""
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  figure, (time, peak, share) = plt.subplots(
    1, 3, figsize=(13, 4), layout="constrained"
  )
  for program in dict.fromkeys(row["program"] for row in results):
    rows = of_sizes(results, program)
    pixels = [row["size"] ** 2 for row in rows]
    label = common.TITLES[program]
    peak.loglog(pixels, [row["peak"] / 1e9 for row in rows], "o-", label=label)
    shared = share_rows(results, program)
    share.errorbar(
      [row["share"] for row in shared],
      [row["median"] for row in shared],
      errors(shared),
      marker="o",
      label=label,
    )
    if program in exponents:
      label += f", exponent {exponents[program]['time']:.2f}"
    time.errorbar(
      pixels,
      [row["median"] for row in rows],
      errors(rows),
      marker="o",
      label=label,
    )
  time.set(xscale="log", yscale="log", xlabel="pixels", ylabel="s an image")
  peak.set(xlabel="pixels", ylabel="largest resident set, GB")
  sizes = {row["size"] for row in results if row["share"] != 0.25}
  at = "".join(f" at {size}x{size}" for size in sizes)
  share.set(xlabel=f"foreground's share{at}", ylabel="s an image")
  share.set_ylim(bottom=0)
  for axes in (time, peak, share):
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
  figure.savefig(path, dpi=150)
  plt.close(figure)


def share_rows(results: list[dict], program: str) -> list[dict]:
  """The points that differ in the share of the foreground, by share."""
  sizes = {row["size"] for row in results if row["share"] != 0.25}
  rows = [
    row
    for row in results
    if row["program"] == program and row["size"] in sizes and "median" in row
  ]
  return sorted(rows, key=lambda row: row["share"])


def errors(rows: list[dict]) -> tuple[list[float], list[float]]:
  """From the median to where the middle 80 % of the runs lie."""
  return (
    [row["median"] - row["quantile_10"] for row in rows],
    [row["quantile_90"] - row["median"] for row in rows],
  )


if __name__ == "__main__":
  main()
