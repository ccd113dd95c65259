"""Time and memory of inference against pixels, and against the foreground.

    python benchmarks/growth.py --figure growth.png --json growth.json
    python benchmarks/growth.py --size 128 256 512 --shares --rounds 1
    python benchmarks/growth.py --official HDNet --form official

HDNet-lite, an image at a time. The sizes have 10 % foreground, the upper rows;
--shares are other parts of the area, at --share-size. Every point is a process
of its own: it compiles, runs once, and then until --runs are done or --seconds
are over. The points are gone through --rounds times, so that a slow minute of
the machine does not fall on one of them; a point's time is the median over all
rounds, its memory the largest resident set of any.

The exponent is the slope of log time in log pixels: 1 where time grows as the
pixels do, 2 where it grows as their square. It is fitted to the sizes up to
2048, and to the two largest, where what grows fastest shows. That of memory is
of what comes to what is resident before the first run.
"""

import argparse
import math
import os
import pathlib
import statistics

import common
import memory

SHARE = 0.1  # of the foreground, where sizes differ
FITTED = 2048  # the largest size of the fit
Point = tuple[str, int, float]  # program, size, share


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument(
    "--size", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096]
  )
  parser.add_argument(
    "--shares", type=float, nargs="*", default=[0.01, 0.1, 0.25, 0.5, 0.9, 1]
  )
  parser.add_argument("--share-size", type=int, default=1024)
  parser.add_argument("--width", type=int, default=8, help="n of the network")
  common.add_form_flag(parser)
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
    print(f"{common.TITLES[name]}: {describe(found)}.")
  print(f"The form of our network is the {args.form} one.")
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
  points = [(kind, size, SHARE) for size in args.size for kind in kinds]
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
    "form": args.form,
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
    if row["program"] == program and row["share"] == SHARE and "median" in row
  ]
  return sorted(rows, key=lambda row: row["size"])


def fit_all(results: list[dict]) -> dict[str, dict[str, float]]:
  """Exponents of time, and of added memory, in pixels, by program."""
  exponents = {}
  for program in dict.fromkeys(row["program"] for row in results):
    rows = of_sizes(results, program)
    fitted = [row for row in rows if row["size"] <= FITTED]
    if len(fitted) > 1:
      exponents[program] = {
        "from": fitted[0]["size"],
        "to": fitted[-1]["size"],
        "time": exponent(fitted, "median"),
        "time_largest_two": exponent(rows[-2:], "median"),
        # Small images may fit into what is there.
        "memory_largest_two": exponent(rows[-2:], "added"),
      }
  return exponents


def exponent(rows: list[dict], name: str) -> float:
  """The slope of a value's logarithm in that of the pixels, least squares."""
  pixels = [math.log(row["size"] ** 2) for row in rows]
  values = [math.log(max(row[name], 1e-9)) for row in rows]
  return statistics.linear_regression(pixels, values).slope


def describe(found: dict[str, float]) -> str:
  return (
    f"at {SHARE:.0%} foreground, {found['from']} to {found['to']}, time grows "
    f"with pixels to the power of {found['time']:.2f} "
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
  """Time and memory, over pixels and over the foreground's share."""
  import matplotlib

  matplotlib.use("Agg")
  import matplotlib.pyplot as plt

  figure, grid = plt.subplots(
    2, 2, figsize=(10, 7.5), layout="constrained", sharex="col", sharey="row"
  )
  for program in dict.fromkeys(row["program"] for row in results):
    label = common.TITLES[program]
    found = exponents.get(program)
    sizes, shares = of_sizes(results, program), of_shares(results, program)
    pixels = [row["size"] ** 2 for row in sizes]
    plot_time(grid[0, 0], pixels, sizes, named(label, found and found["time"]))
    plot_memory(
      grid[1, 0],
      pixels,
      sizes,
      named(label, found and found["memory_largest_two"]),
    )
    plot_time(grid[0, 1], [row["share"] for row in shares], shares, label)
    plot_memory(grid[1, 1], [row["share"] for row in shares], shares, label)
  grid[0, 0].set_ylabel("s an image")
  grid[1, 0].set_ylabel("largest resident set, GB")
  grid[0, 0].set_title(f"{SHARE:.0%} foreground; exponent up to {FITTED}")
  grid[1, 0].set_title("exponent of what a run adds, two largest sizes")
  grid[1, 0].set_xlabel("pixels")
  grid[1, 1].set_xlabel("foreground's share")
  for size in share_sizes(results):
    grid[0, 1].set_title(f"{size}x{size}")
  for axes in grid.flat:
    axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    if axes.has_data():
      axes.legend(fontsize="small")
  figure.savefig(path, dpi=150)
  plt.close(figure)


def named(label: str, exponent: float | None) -> str:
  return label if exponent is None else f"{label}, exponent {exponent:.2f}"


def plot_time(axes, x: list[float], rows: list[dict], label: str) -> None:
  """Medians, and where the middle 80 % of the runs lie."""
  medians = [row["median"] for row in rows]
  below = [row["median"] - row["quantile_10"] for row in rows]
  above = [row["quantile_90"] - row["median"] for row in rows]
  if rows:
    axes.errorbar(x, medians, (below, above), marker="o", label=label)


def plot_memory(axes, x: list[float], rows: list[dict], label: str) -> None:
  if rows:
    axes.plot(x, [row["peak"] / 1e9 for row in rows], "o-", label=label)


def share_sizes(results: list[dict]) -> set[int]:
  """The size of the images whose foreground differs, if there are any."""
  return {row["size"] for row in results if row["share"] != SHARE}


def of_shares(results: list[dict], program: str) -> list[dict]:
  """The points that differ in the share of the foreground, by share."""
  sizes = share_sizes(results)
  rows = [
    row
    for row in results
    if row["program"] == program and row["size"] in sizes and "median" in row
  ]
  return sorted(rows, key=lambda row: row["share"])


if __name__ == "__main__":
  main()
