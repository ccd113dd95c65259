"""Times training and inference on a GPU, beside the authors' PyTorch.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --official HDNet --form official --json gpu.json
    python benchmarks/gpu.py --width 32 --precision bfloat16 --trace trace

Training: seconds a step (forward pass, loss, gradients, Adam) on composites
that are given, and on photos that the step makes into composites in all ways of
`configs/release.py`. Inference: seconds an image, network and blend. A run is a
round of steps, of which only the last is waited for, as in a training loop;
printed are medians of the rounds and where their middle 80 % lie. Our programs
are compiled together, then measured one after another; PyTorch has a process of
its own.

Precisions: tf32 is what both libraries make of float32 at best (TF32 for
convolutions and matrix products), bfloat16 is the computing type of our network
and `torch.autocast` for theirs, float32 has no TF32 anywhere.

    memory     what the program needs on the card at once: arguments, results
               and scratch by XLA; most allocated, in PyTorch
    FLOP/s     the paper's arithmetic (arithmetic.py) over the time, and its
               share of what a large matrix product of this precision reached
    bandwidth  share of what a large copy reached, by XLA's count of the bytes
               that its kernels read and write; it has none for PyTorch's

--trace DIR keeps a profile of three steps of each training of ours, in the
first precision, for TensorBoard and for `gpu_parts.py`. Runs on whatever device
JAX has; the shares are of GPUs.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable

import common
import gpu_programs
from gpu_programs import Case

ROUND = 10  # steps
LONGEST = 6  # seconds of rounds of a program, about
TASKS = ("train", "photos", "inference")


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--width", type=int, nargs="+", default=[8, 32])
  parser.add_argument("--size", type=int, default=256, help="of training")
  parser.add_argument("--batch", type=int, nargs="+", default=[12])
  parser.add_argument(
    "--precision",
    nargs="+",
    default=["tf32", "bfloat16"],
    choices=["tf32", "bfloat16", "float32"],
  )
  parser.add_argument(
    "--inference",
    type=int,
    nargs="+",
    default=[1024, 2048],
    metavar="SIZE",
    help="of images",
  )
  parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
  parser.add_argument("--rounds", type=int, default=10)
  parser.add_argument(
    "--seconds", type=float, default=600, help="of a library's runs, about"
  )
  parser.add_argument("--trace", type=pathlib.Path, help="folder for profiles")
  parser.add_argument("--child", help=argparse.SUPPRESS)
  common.add_form_flag(parser)
  common.add_common_flags(parser)
  args = parser.parse_args()
  if args.child:
    print(json.dumps(measure(json.loads(args.child))))
    return
  machine = common.begin(parser, args)
  results, ceilings = [], {}
  for program in ("jax", *(["official"] if args.official else [])):
    done = common.run_child(
      __file__,
      {
        "program": program,
        "cases": [dataclasses.asdict(case) for case in cases(args)],
        "rounds": args.rounds,
        "seconds": args.seconds,
        "form": args.form,
        "official": args.official and os.fspath(args.official.resolve()),
        "trace": args.trace and os.fspath(args.trace.resolve()),
      },
      3600,
      {
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
      },
    )
    if "error" in done:
      results.append({"program": program, "error": done["error"]})
      continue
    machine.setdefault("device", done["device"])
    ceilings = ceilings or done["ceilings"]
    results += done["results"]
  common.write_json(args.json, machine, args, results, ceilings=ceilings)
  print(machine.get("device", "no device"))
  print_tables(results, ceilings)


def cases(args: argparse.Namespace) -> list[Case]:
  first = args.precision[0]
  every = [
    *(
      Case("train", width, args.size, batch, precision)
      for width in args.width
      for batch in args.batch
      for precision in args.precision
    ),
    *(
      Case("photos", width, args.size, args.batch[0], first)
      for width in args.width
    ),
    *(
      Case("inference", width, size, 1, first)
      for size in args.inference
      for width in args.width
    ),
  ]
  return [case for case in every if case.task in args.tasks]


def measure(job: dict) -> dict:
  """All cases of one library, in this process."""
  library = (
    gpu_programs.JaxLibrary(job)
    if job["program"] == "jax"
    else gpu_programs.TorchLibrary(job)
  )
  built = library.build_all([Case(**case) for case in job["cases"]])
  deadline = time.monotonic() + job["seconds"]
  results = [run(library, case, build, job, deadline) for case, build in built]
  return {
    "device": library.device,
    "ceilings": library.ceilings(),
    "results": results,
  }


def describe(job: dict, case: Case) -> dict:
  form = "official" if job["program"] == "official" else job["form"]
  return {"program": job["program"], "form": form, **dataclasses.asdict(case)}


def run(
  library, case: Case, build: Callable, job: dict, deadline: float
) -> dict:
  """A row: the rounds of one program, or why there are none."""
  row = describe(job, case)
  if time.monotonic() > deadline:
    return row | {"error": "not measured: --seconds are over"}
  try:
    program = build()
    program.rounds(3)
    seconds = []
    while len(seconds) < job["rounds"]:
      start = time.perf_counter()
      program.rounds(ROUND)
      seconds.append((time.perf_counter() - start) / ROUND)
      if sum(seconds) * ROUND > LONGEST:
        break
    row |= {"memory": program.memory, "moved": program.moved}
    row |= common.summary(seconds)
    first = job["cases"][0]["precision"]
    if job["trace"] and case.task != "inference" and case.precision == first:
      library.trace(job["trace"], case, program)
  except library.failures as error:  # of memory, mostly: the row says which
    row["error"] = (str(error).strip() or repr(error)).splitlines()[0][:200]
  return row


def print_tables(results: list[dict], ceilings: dict[str, float]) -> None:
  if ceilings:
    print(
      "Ceilings: "
      + ", ".join(
        f"{name} {value / 1e12:.{1 if name == 'bandwidth' else 0}f} "
        + ("TB/s" if name == "bandwidth" else "TFLOP/s")
        for name, value in ceilings.items()
      )
    )
  common.print_table(
    (
      "task",
      "network",
      "size",
      "precision",
      "batch",
      "program",
      "median",
      "10 % to 90 %",
      "images/s",
      "memory",
      "TFLOP/s",
      "bandwidth",
      "error",
    ),
    [cells(row, ceilings) for row in results],
  )


def cells(row: dict, ceilings: dict[str, float]) -> tuple[str, ...]:
  if "task" not in row:  # a library that did not run
    return (*[""] * 5, common.TITLES[row["program"]], *[""] * 6, row["error"])
  start = (
    row["task"],
    f"n={row['width']}",
    f"{row['size']}x{row['size']}",
    row["precision"],
    f"{row['batch']}",
    f"{common.TITLES[row['program']]}, {row['form']}",
  )
  if "error" in row:
    return (*start, *[""] * 6, row["error"])
  speed = arithmetic_of(row) / row["median"]
  arithmetic = f"{speed / 1e12:.1f}"
  bandwidth = ""
  if ceilings:
    arithmetic += f" ({speed / ceilings[row['precision']]:.0%})"
    if row["moved"]:
      share = row["moved"] / row["median"] / ceilings["bandwidth"]
      bandwidth = f"{share:.0%}"
  return (
    *start,
    f"{common.short(1e3 * row['median'])} ms",
    f"{common.spread([1e3 * s for s in row['seconds']])} ms",
    common.short(row["batch"] / row["median"]),
    common.gigabytes(row["memory"]),
    arithmetic,
    bandwidth,
    "",
  )


def arithmetic_of(row: dict) -> int:
  """Operations of a step or an image."""
  import arithmetic

  counted = arithmetic.count(row["width"], row["size"], row["batch"])
  return counted["forward" if row["task"] == "inference" else "step"]


if __name__ == "__main__":
  main()
