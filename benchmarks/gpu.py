"""Times training and inference on a GPU, beside the authors' PyTorch.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --official HDNet --form official --json gpu.json
    python benchmarks/gpu.py --width 32 --precision bfloat16 --trace trace

Training: seconds a step (forward pass, loss, gradients, Adam) on composites
that are given, and on photos that the step recolours in all the ways of
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
import concurrent.futures
import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Callable

import common

ROUND = 10  # steps
LONGEST = 6  # seconds of rounds of a program, about
RECOLORINGS = (
  "reinhard_lab",
  "reinhard_rgb",
  "covariance",
  "histogram",
  "retouch",
  "time_of_day",
  "relight",
  "mixed",
)
TASKS = ("train", "photos", "inference")
MATRIX = 8192  # side, for the ceiling of arithmetic
COPY = 2**30  # elements, for that of bandwidth


@dataclasses.dataclass(frozen=True)
class Case:
  task: str  # of TASKS
  width: int
  size: int
  batch: int
  precision: str


@dataclasses.dataclass(frozen=True)
class Program:
  rounds: Callable[[int], None]  # so many steps, and waits for the last
  memory: int  # bytes
  moved: float | None = None  # bytes, of a step


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
  library = JaxLibrary(job) if job["program"] == "jax" else TorchLibrary(job)
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
  except Exception as error:  # of memory, mostly: the row says which
    row["error"] = (str(error).strip() or repr(error)).splitlines()[0][:200]
  return row


class JaxLibrary:
  """Ours. Compiles all programs at a time: it is what takes long."""

  def __init__(self, job: dict):
    import jax

    self._job = job
    self._first = jax.devices()[0]
    self.device = self._first.device_kind
    self._is_gpu = self._first.platform in ("gpu", "cuda", "rocm")

  def build_all(self, todo: list[Case]):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
      built = [(case, threads.submit(self._build, case)) for case in todo]
    # The card is idle now.
    return [(case, building.result) for case, building in built]

  def _build(self, case: Case) -> Program:
    import jax

    precision = "highest" if case.precision == "float32" else "default"
    # Of the thread that traces.
    with jax.default_matmul_precision(precision):
      if case.task == "inference":
        return self._inference(case)
      return self._train(case)

  def _model(self, case: Case):
    from hdnet_jax.config import ModelConfig

    dtype = "bfloat16" if case.precision == "bfloat16" else "float32"
    return ModelConfig(case.width, self._job["form"], dtype=dtype)

  def _train(self, case: Case) -> Program:
    import jax
    import train_step

    from hdnet_jax import sharding
    from hdnet_jax.config import Config, DataConfig

    config = Config(
      batch_size=case.batch,
      model=self._model(case),
      data=DataConfig(image_size=case.size, recolorings=RECOLORINGS),
    )
    trainer = train_step.Trainer(config, [self._first])
    batch = pixels(case)
    if case.task == "photos":
      del batch["composite"]
    batch = sharding.put(batch, trainer.mesh)
    compiled = trainer.compile(batch)

    def rounds(steps: int) -> None:
      state = trainer.state
      for _ in range(steps):
        state, _ = compiled(state, batch)
      trainer.state = jax.block_until_ready(state)

    return Program(rounds, *needs(compiled))

  def _inference(self, case: Case) -> Program:
    import programs

    program = programs.make("jax", self._model(case), case.size)

    def rounds(steps: int) -> None:
      # An image is waited for: it is what its user waits for.
      for _ in range(steps):
        program.run()

    return Program(rounds, *needs(program.compiled))

  def trace(self, folder: str, case: Case, program: Program) -> None:
    import jax

    name = f"{case.task}-{case.width}-{case.size}-{case.batch}-{case.precision}"
    with jax.profiler.trace(os.path.join(folder, name)):
      program.rounds(3)

  def ceilings(self) -> dict[str, float]:
    """FLOP/s of a matrix product by precision, and bytes a second of a copy."""
    import jax
    import jax.numpy as jnp

    if not self._is_gpu:
      return {}
    found = {}
    for precision in ("tf32", "bfloat16", "float32"):
      dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
      chosen = "highest" if precision == "float32" else "default"
      key = jax.random.key(0)
      a = jax.random.normal(key, (MATRIX, MATRIX), dtype)
      product = jax.jit(lambda a, p=chosen: jnp.dot(a, a, precision=p))
      found[precision] = 2 * MATRIX**3 / fastest(product, a)
    x = jnp.ones(COPY, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    return found | {"bandwidth": 8 * COPY / fastest(copy, x)}


class TorchLibrary:
  """The authors' code."""

  def __init__(self, job: dict):
    import torch

    self._job = job
    self._gpu = 0 if torch.cuda.is_available() else None
    self.device = "CPU"
    if self._gpu is not None:
      self.device = torch.cuda.get_device_name(0)

  def build_all(self, todo: list[Case]):
    return [
      (case, functools.partial(self._build, case))
      for case in todo
      if case.task != "photos"  # they have no such step
    ]

  def ceilings(self) -> dict[str, float]:
    return {}

  def trace(self, folder: str, case: Case, program: Program) -> None:
    """None is kept of theirs."""

  def _build(self, case: Case) -> Program:
    import official
    import torch

    fast = case.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast
    torch.cuda.empty_cache()
    model = official.load_model(
      self._job["official"], case.width, gpu=self._gpu
    )
    kind = "cpu" if self._gpu is None else "cuda"
    half = case.precision == "bfloat16"
    composite, mask = common.inputs(case.size, batch=case.batch)
    model.set_input(official.inputs(composite, composite, mask))
    training = case.task == "train"
    model.netG.train(training)

    def rounds(steps: int) -> None:
      for _ in range(steps):
        with (
          torch.autocast(kind, torch.bfloat16, enabled=half),
          torch.set_grad_enabled(training),
        ):
          model.optimize_parameters() if training else model.forward()
        if not training:
          self._wait()
      self._wait()

    if self._gpu is not None:
      torch.cuda.reset_peak_memory_stats()
    rounds(1)
    memory = 0
    if self._gpu is not None:
      memory = torch.cuda.max_memory_allocated()
    return Program(rounds, memory)

  def _wait(self) -> None:
    import torch

    if self._gpu is not None:
      torch.cuda.synchronize()


def needs(compiled) -> tuple[int, float | None]:
  """Bytes that a program of XLA's holds at once, and those that it moves."""
  memory = compiled.memory_analysis()
  held = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return held, (compiled.cost_analysis() or {}).get("bytes accessed")


def pixels(case: Case) -> dict:
  """Random photos of uint8 with the composites to learn from."""
  import numpy as np

  composite, mask = common.inputs(case.size, batch=case.batch)
  image = np.uint8((composite + 1) * 127.5)
  return {"composite": image, "real": image[::-1], "mask": np.uint8(mask)}


def fastest(function: Callable, *args, runs: int = 10) -> float:
  import jax

  seconds = []
  for _ in range(runs + 1):
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    seconds.append(time.perf_counter() - start)
  return min(seconds[1:])


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
