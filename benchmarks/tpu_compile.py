"""Compiles training and evaluation for TPU pods, without a TPU.

    pip install libtpu  # the version that jax[tpu] of this JAX asks for
    python benchmarks/tpu_compile.py --record tpu.jsonl
    python benchmarks/tpu_compile.py --record tpu.jsonl \\
        --config hdnet --pod v5e-16
    python benchmarks/tpu_compile.py --record tpu.jsonl \\
        --config hdnet_1024 --pod v5e-8 --spatial 8 --batch 4 8
    python benchmarks/tpu_compile.py --record tpu.jsonl --table

libtpu compiles for chips that are not there. Nothing runs: the numbers are the
compiler's, of one device and one step, and no times. A program takes minutes of
a processor. Each is compiled in a process of its own, and is a line of the file
--record as soon as it is done; what the file has is not compiled again.

    arguments    parameters, Adam's moments and the batch
    temporary    what the program needs besides arguments and results
    held         arguments, results and temporary, less what shares memory
    largest      batch by the straight line through two batches that were
                 compiled: an estimate
    TFLOP        by XLA; loops, as LD's search, are counted as one turn
    cycles       the sum of the compiler's estimates; loops are counted as one
                 turn, transfers not at all
    collectives  number and bytes of results by kind; those in loops count once
"""

import argparse
import importlib.metadata
import json
import sys
from typing import Any, NamedTuple

import ahead
import common
import environment
from tpu_pods import PODS

PROGRAMS = ("train", "evaluation")
ENVIRONMENT = {
  "JAX_PLATFORMS": "cpu",  # what is not compiled for the pod
  "JAX_ENABLE_COMPILATION_CACHE": "0",
  "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",
  "TPU_SKIP_MDS_QUERY": "1",  # no machine of Google's to ask what it is
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  "TF_CPP_MIN_LOG_LEVEL": "3",
}
SHORT = {
  "all-reduce": "reduce",
  "all-gather": "gather",
  "reduce-scatter": "scatter",
  "all-to-all": "all-to-all",
  "collective-permute": "permute",
}


class Plan(NamedTuple):
  config: str
  pod: str
  spatial: int
  train: tuple[int, ...]  # batches
  evaluation: tuple[int, ...]


# From what compiles fastest to what does not.
PLANS = (
  Plan("hdnet_lite", "v5e-8", 1, (96, 192), (16,)),
  Plan("hdnet", "v5e-8", 1, (96, 192), (16,)),
  Plan("hdnet_1024", "v5e-8", 4, (12,), (4,)),
  Plan("hdnet_2048", "v5e-8", 8, (4,), (1,)),
  Plan("hdnet_lite", "v5e-16", 1, (96, 192), (16,)),
  Plan("hdnet", "v5e-16", 1, (96, 192), (16,)),
  Plan("hdnet_1024", "v5e-16", 4, (12,), (4,)),
  Plan("hdnet_2048", "v5e-16", 4, (4,), (4,)),
  Plan("hdnet", "v4-32", 1, (96, 192), (16,)),
)


def main():
  parser = common.make_parser(__doc__)
  ahead.add_flags(parser)
  parser.add_argument("--config", nargs="+", help="of hdnet_jax.configs")
  parser.add_argument("--pod", nargs="+", choices=PODS)
  parser.add_argument(
    "--program", nargs="+", default=PROGRAMS, choices=PROGRAMS
  )
  parser.add_argument("--batch", type=int, nargs="+", help="over all devices")
  parser.add_argument("--spatial", type=int, help="bands of an image")
  parser.add_argument("--dtype", default="bfloat16")
  parser.add_argument("--size", type=int, help="of the images")
  parser.add_argument("--width", type=int, help="of the network")
  args = parser.parse_args()
  if args.child:
    import tpu_programs

    child = json.loads(args.child)
    case = tpu_programs.Case(**child["case"])
    print(json.dumps(tpu_programs.measure(case, child["text"])))
    return
  if args.record is None:
    parser.error("--record FILE is required")
  failed = 0 if args.table else compile_all(parser, args)
  print_tables(ahead.read(args.record))
  sys.exit(1 if failed else 0)


def compile_all(parser, args: argparse.Namespace) -> int:
  """Compile what the record lacks; return how many programs went wrong."""
  check(parser, args)
  wanted = cases(args)
  if not wanted:
    parser.error("this is not planned: give --batch, too")
  return ahead.compile_missing(
    __file__, args, wanted, ("jax", "libtpu"), ENVIRONMENT
  )


def check(parser, args: argparse.Namespace) -> None:
  wanted = [
    text
    for text in importlib.metadata.requires("jax") or []
    if text.startswith("libtpu")
  ]
  if environment.version_of("libtpu") is None:
    text = wanted[0].split(";")[0].strip() if wanted else "libtpu"
    parser.error(f'needs libtpu: pip install "{text}"')
  ahead.check_folders(parser, args)


def cases(args: argparse.Namespace) -> list[dict[str, Any]]:
  """The plans that were asked for, or others where there are batches."""
  plans = [
    plan
    for plan in PLANS
    if (args.config is None or plan.config in args.config)
    and (args.pod is None or plan.pod in args.pod)
  ]
  if args.batch:
    planned = {(plan.config, plan.pod) for plan in plans}
    plans += [
      Plan(config, pod, 1, (), ())
      for config in args.config or ()
      for pod in args.pod or ()
      if (config, pod) not in planned
    ]
  return [
    {
      "config": plan.config,
      "pod": plan.pod,
      "program": program,
      "batch": batch,
      "spatial": args.spatial or plan.spatial,
      "dtype": args.dtype,
      "size": args.size,
      "width": args.width,
    }
    for plan in plans
    for program in args.program
    for batch in args.batch or getattr(plan, program)
  ]


def held(row: dict[str, Any]) -> int:
  """Bytes that a device holds at once."""
  return row["arguments"] + row["outputs"] - row["aliases"] + row["temporary"]


def largest_batch(
  row: dict[str, Any], rows: list[dict[str, Any]]
) -> int | None:
  """The batch that would fill a device, by a line through two of its kind."""
  apart = ("config", "pod", "program", "spatial", "dtype", "size", "width")
  points = sorted(
    {
      (other["batch"], held(other))
      for other in rows
      if "error" not in other
      and all(other[name] == row[name] for name in apart)
    }
  )
  if len(points) < 2:
    return None
  (low, low_held), *_, (high, high_held) = points
  slope = (high_held - low_held) / (high - low)
  if slope <= 0:
    return None
  data = row["mesh"][0]
  return int((low + (row["memory"] - low_held) / slope) // data) * data


def print_tables(rows: list[dict[str, Any]]) -> None:
  ahead.print_versions(rows, ("jax", "jaxlib", "libtpu"))
  common.print_table(
    (
      *("config", "pod", "data x spatial", "program", "batch", "arguments"),
      *("temporary", "held", "largest", "TFLOP", "cycles"),
    ),
    [memory_cells(row, rows) for row in rows],
  )
  print()
  common.print_table(
    ("config", "pod", "data x spatial", "program", "batch", "collectives"),
    [collective_cells(row) for row in rows if "error" not in row],
  )


def start_of(row: dict[str, Any]) -> tuple[str, ...]:
  data, spatial = row["mesh"]
  return (
    *(row["config"], row["pod"], f"{data} x {spatial}", row["program"]),
    str(row["batch"]),
  )


def memory_cells(
  row: dict[str, Any], rows: list[dict[str, Any]]
) -> tuple[str, ...]:
  if "error" in row:
    return (*start_of(row), row["error"], *[""] * 5)
  largest = largest_batch(row, rows)
  return (
    *start_of(row),
    ahead.amount(row["arguments"]),
    ahead.amount(row["temporary"]),
    f"{ahead.amount(held(row))}, {held(row) / row['memory']:.0%}",
    "" if largest is None else f"{largest}",
    f"{row['flops'] / 1e12:.3f}",
    f"{row['cycles'] / 1e6:.0f} M",
  )


def collective_cells(row: dict[str, Any]) -> tuple[str, ...]:
  kinds = [
    f"{count} {SHORT[kind]} {ahead.amount(size)}"
    + (f" ({row['looped'][kind][0]} in loops)" if kind in row["looped"] else "")
    for kind, (count, size) in sorted(row["collectives"].items())
  ]
  return (*start_of(row), ", ".join(kinds) or "none")


if __name__ == "__main__":
  main()
