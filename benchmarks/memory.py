"""Measures the memory of inference and training, in a fresh process each.

    python benchmarks/memory.py
    python benchmarks/memory.py --inference 2048 --train --limit 16
    python benchmarks/memory.py --official HDNet --form official

HDNet-lite by default: inference at 2048 and 4096, and a training step of a
batch of one at 1024, with and without `remat`. Columns:

    before   resident just before the first run: libraries, weights, inputs and
             the compiled program
    peak     the largest resident set of the process, compilation included
    planned  what XLA says that the program needs besides inputs and outputs

A process may take the memory that is available as it starts (or --limit): what
needs more ends with an error, which its row shows, and not with the machine.
The process of ONNX Runtime holds JAX too, which has exported the graph. The
cases follow one another; nothing is timed here.
"""

import argparse
import json
import os
import time

import common
import environment
import official

GIGABYTE = 10**9
TITLES = {**common.TITLES, "remat": "hdnet_jax, remat"}


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument(
    "--inference",
    type=int,
    nargs="*",
    default=[2048, 4096],
    metavar="SIZE",
    help="of images",
  )
  parser.add_argument(
    "--train",
    type=int,
    nargs="*",
    default=[1024],
    metavar="SIZE",
    help="of images; none: no training",
  )
  parser.add_argument("--width", type=int, default=8, help="n of the network")
  parser.add_argument("--batch", type=int, default=1, help="of training")
  common.add_form_flag(parser)
  parser.add_argument("--limit", type=float, help="GB that a process may take")
  parser.add_argument(
    "--timeout", type=float, default=7200, help="s, of a case"
  )
  parser.add_argument("--child", help=argparse.SUPPRESS)
  common.add_common_flags(parser)
  args = parser.parse_args()
  if args.child:
    print(json.dumps(measure(json.loads(args.child))))
    return
  machine = common.begin(parser, args)
  results = [
    {**case, **run(case, args.limit, args.timeout)} for case in cases(args)
  ]
  print_table(results)
  print(f"The form of our network is the {args.form} one.")
  for row in results:
    del row["official"]  # a path
    if row["kind"] == "official":
      row["form"] = "official"
  common.write_json(args.json, machine, args, results)


def cases(args: argparse.Namespace) -> list[dict]:
  path = os.fspath(args.official.resolve()) if args.official else None
  shared = {
    "width": args.width,
    "form": args.form,
    "official": path,
    "runs": 1,
    "share": 0.25,
  }
  return [
    *(
      {"task": "inference", "size": size, "kind": kind, "batch": 1} | shared
      for size in args.inference
      for kind in common.kinds(args.official)
    ),
    *(
      {"task": "train", "size": size, "kind": kind, "batch": args.batch}
      | shared
      for size in args.train
      for kind in ("jax", "remat", *(["official"] if path else []))
    ),
  ]


def run(case: dict, limit: float | None, timeout: float) -> dict:
  """What `measure` finds of a case in a process of its own, or an `error`."""
  most = limit * GIGABYTE if limit else common.available_memory()
  return common.run_child(
    __file__,
    case | {"limit": most and int(most)},
    timeout,
    # One image has no use for more devices; what is read is not compiled.
    {
      "JAX_PLATFORMS": "cpu",
      "JAX_NUM_CPU_DEVICES": "1",
      "JAX_ENABLE_COMPILATION_CACHE": "0",
    },
  )


def measure(case: dict) -> dict:
  """Memory, and the seconds of the runs after the first if there are any."""
  common.limit_memory(case["limit"])
  prepare = prepare_training if case["task"] == "train" else prepare_inference
  function, planned = prepare(case)
  before = common.resident()
  seconds = []
  start = time.perf_counter()
  for _ in range(case["runs"]):
    began = time.perf_counter()
    function()
    seconds.append(time.perf_counter() - began)
    if time.perf_counter() - start > case.get("seconds", 0):
      break
  return {
    "before": before,
    "peak": common.peak_memory(),
    "planned": planned,
    # The first run allocates, and is the only one where runs are long.
    "seconds": seconds[1:] or seconds,
  }


def prepare_inference(case: dict):
  """A program, and what XLA plans for."""
  if case["kind"] == "official":
    composite, mask = common.inputs(case["size"], case["share"])
    return official.make_forward(load_official(case), composite, mask), None
  # JAX is imported here, and not beside PyTorch.
  import programs

  from hdnet_jax.config import ModelConfig

  model = ModelConfig(case["width"], case["form"])
  program = programs.make(
    case["kind"], model, case["size"], share=case["share"]
  )
  return program.run, program.scratch


def prepare_training(case: dict):
  """A step on given composites, and what XLA plans for."""
  composite, mask = common.inputs(case["size"], case["share"], case["batch"])
  if case["kind"] == "official":
    model = load_official(case)
    return official.make_step(model, composite, composite, mask), None
  import jax
  import numpy as np
  import train_step

  from hdnet_jax import devices
  from hdnet_jax.config import Config, DataConfig, ModelConfig

  pixels = np.uint8((composite + 1) * 127.5)
  batch = {"composite": pixels, "real": pixels, "mask": mask.astype(np.uint8)}
  batch["index"] = np.arange(case["batch"], dtype=np.int32)
  trainer = train_step.Trainer(
    Config(
      batch_size=case["batch"],
      model=ModelConfig(
        case["width"], case["form"], remat=case["kind"] == "remat"
      ),
      data=DataConfig(image_size=case["size"]),
    )
  )
  batch = devices.put(batch, trainer.mesh)
  compiled = trainer.compile(batch)
  planned = compiled.memory_analysis().temp_size_in_bytes

  def step() -> None:
    trainer.state, _ = jax.block_until_ready(compiled(trainer.state, batch))

  return step, planned


def load_official(case: dict):
  threads = environment.usable_threads()
  return official.load_model(case["official"], case["width"], threads)


def print_table(results: list[dict]) -> None:
  rows = [
    (
      row["task"] + (f", batch {row['batch']}" if row["batch"] > 1 else ""),
      f"n={row['width']}",
      f"{row['size']}x{row['size']}",
      TITLES[row["kind"]],
      *(
        common.gigabytes(row.get(name))
        for name in ("before", "peak", "planned")
      ),
      row.get("error", ""),
    )
    for row in results
  ]
  common.print_table(
    (
      "task",
      "network",
      "size",
      "program",
      "before",
      "peak",
      "planned",
      "error",
    ),
    rows,
  )


if __name__ == "__main__":
  main()
