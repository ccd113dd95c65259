"""Times the network on the CPU, an image at a time (Table 4 of the paper).

    python benchmarks/cpu_latency.py
    python benchmarks/cpu_latency.py --size 512 --width 8 --threads 1
    python benchmarks/cpu_latency.py --official HDNet --form paper official

An image's time is that of the compiled forward pass and the blend, batch 1,
float32. Beside ours stand the ONNX file that `hdnet export` writes, where ONNX
Runtime is installed, and the authors' code with --official. Weights are random:
the time does not depend on their values. Prints the median of the runs, and
where the middle 80 % of them lie; compiling and loading are apart. The runs of
all rows take turns, so that what else the machine does is shared by all.

--threads N runs on N of the processor's threads (Linux), which limits what XLA
uses; by default it uses all that this process may. --form official is our
network in the form of the authors' code, which does the work that theirs does;
the default is the paper's.
"""

import argparse
import itertools

import common
import jax
import programs

from hdnet_jax.config import ModelConfig

# Image sizes and widths without --size and --width.
CASES = ((256, 8), (512, 8), (1024, 8), (256, 32))
# Seconds an image, by image size and width. The paper's Table 4, measured by
# its authors on a CPU of theirs, in PyTorch.
PUBLISHED = {(256, 8): 0.04}


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--size", type=int, nargs="+", help="of the images")
  parser.add_argument("--width", type=int, nargs="+", help="n of the network")
  parser.add_argument(
    "--form", nargs="+", default=["paper"], choices=common.FORMS
  )
  parser.add_argument("--runs", type=int, default=30, help="of each row")
  common.add_common_flags(parser)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  jax.config.update("jax_platforms", "cpu")
  # A program that is read from the cache has not been compiled.
  jax.config.update("jax_enable_compilation_cache", False)
  results = measure(args)
  print_table(results)
  common.write_json(args.json, machine, args, results)


def measure(args: argparse.Namespace) -> list[dict]:
  cases = CASES
  if args.size or args.width:
    cases = itertools.product(args.size or [256], args.width or [8, 32])
  built = {}
  for size, width in dict.fromkeys(cases):
    for kind in common.kinds(args.official):
      # The authors' code has the one form.
      for form in ["official"] if kind == "official" else args.form:
        model = ModelConfig(width=width, local_dynamics=form)
        built[size, width, kind, form] = programs.make(
          kind, model, size, args.official
        )
  seconds = common.interleave(
    {row: program.run for row, program in built.items()}, args.runs, warm=2
  )
  return [
    {
      "size": size,
      "width": width,
      "program": kind,
      "form": form,
      "compile_or_load": built[size, width, kind, form].seconds,
      "published": PUBLISHED.get((size, width)),
      **common.summary(runs),
    }
    for (size, width, kind, form), runs in seconds.items()
  ]


def print_table(results: list[dict]) -> None:
  rows = [
    (
      f"{common.NAMES.get(row['width'], 'HDNet')} (n={row['width']})",
      f"{row['size']}x{row['size']}",
      common.TITLES[row["program"]],
      row["form"],
      f"{row['compile_or_load']:.1f} s",
      f"{common.short(row['median'])} s",
      f"{common.spread(row['seconds'])} s",
      f"{row['published']} s" if row["published"] else "",
    )
    for row in results
  ]
  common.print_table(
    (
      "network",
      "size",
      "program",
      "form",
      "compile, load",
      "median",
      "10 % to 90 %",
      "published",
    ),
    rows,
  )
  print(
    f"Seconds an image, {len(results[0]['seconds'])} runs, random weights. "
    "Published: the paper's Table 4,\nmeasured on another CPU."
  )


if __name__ == "__main__":
  main()
