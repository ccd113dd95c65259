"""Times the network on the CPU, an image at a time (Table 4 of the paper).

    python benchmarks/cpu_latency.py
    python benchmarks/cpu_latency.py --size 512 --width 8 --threads 1

An image's time is that of the compiled forward pass and the blend, batch 1,
float32. Weights are random: the time does not depend on their values. Prints
the median of the runs, and where the middle 80 % of them lie; compilation is
apart. The runs of several widths take turns, so that what else the machine does
is shared by all.

--threads N runs on N of the processor's threads (Linux), which limits what XLA
uses; by default it uses all that this process may.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hdnet_jax.model.hdnet import HDNet, blend

NAMES = {8: "HDNet-lite", 32: "HDNet"}
# Seconds an image, by image size and width. The paper's Table 4, measured by
# its authors on a CPU of theirs, in PyTorch.
PUBLISHED = {(256, 8): 0.04}


@dataclasses.dataclass(frozen=True)
class Result:
  """What was measured of a width."""

  width: int
  size: int
  compile_seconds: float
  seconds: list[float]  # each run's

  def quantile(self, share: float) -> float:
    return float(np.quantile(self.seconds, share))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=256, help="of the image")
  parser.add_argument(
    "--width", type=int, nargs="+", default=[8, 32], help="n of the network"
  )
  parser.add_argument("--runs", type=int, default=50, help="of each width")
  parser.add_argument("--threads", type=int, help="to run on (default: all)")
  parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")
  args = parser.parse_args()
  if args.threads:
    limit_threads(parser, args.threads)
  jax.config.update("jax_platforms", "cpu")
  # A program that is read from the cache has not been compiled.
  jax.config.update("jax_enable_compilation_cache", False)
  machine = describe_machine()
  print("  ".join(f"{name} {value}" for name, value in machine.items()))
  results = measure(args.width, args.size, args.runs)
  print_table(results)
  if args.json:
    write(args.json, machine, results)


def limit_threads(parser: argparse.ArgumentParser, count: int) -> None:
  """Must come before JAX starts: its threads are as many as it may run on."""
  if not hasattr(os, "sched_setaffinity"):
    parser.error("--threads needs Linux")
  allowed = sorted(os.sched_getaffinity(0))
  if not 0 < count <= len(allowed):
    parser.error(f"--threads must be from 1 to {len(allowed)}, not {count}")
  os.sched_setaffinity(0, allowed[:count])


def describe_machine() -> dict[str, str | int]:
  threads = (
    len(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else os.cpu_count()
  )
  return {
    "CPU": cpu_name(),
    "threads": threads,
    "jax": jax.__version__,
    "date": datetime.date.today().isoformat(),
  }


def cpu_name() -> str:
  file = pathlib.Path("/proc/cpuinfo")  # Linux; platform knows less there
  if file.is_file():
    for line in file.read_text(encoding="utf-8").splitlines():
      if line.startswith("model name"):
        return line.split(":", 1)[1].strip()
  return platform.processor() or platform.machine()


def measure(widths: Sequence[int], size: int, runs: int) -> list[Result]:
  passes, compile_seconds = {}, {}
  for width in dict.fromkeys(widths):
    passes[width], compile_seconds[width] = compile_pass(width, size)
  for forward in passes.values():
    for _ in range(3):  # memory is allocated, caches are filled
      forward()
  seconds = {width: [] for width in passes}
  for _ in range(runs):
    for width, forward in passes.items():
      start = time.perf_counter()
      forward()
      seconds[width].append(time.perf_counter() - start)
  return [
    Result(width, size, compile_seconds[width], seconds[width])
    for width in passes
  ]


def compile_pass(width: int, size: int) -> tuple[Callable[[], None], float]:
  """A forward pass that waits for its result; the seconds to compile it."""
  model = HDNet(width=width)
  rng = np.random.default_rng(0)
  image = jnp.asarray(rng.uniform(-1, 1, (1, size, size, 3)), jnp.float32)
  mask = np.zeros((1, size, size, 1), np.float32)
  mask[:, size // 4 : size // 2, size // 4 : size // 2] = 1
  mask = jnp.asarray(mask)
  shapes = jax.eval_shape(model.init, jax.random.key(0), image, mask)["params"]
  # Small enough for activations without overflow.
  params = jax.tree.map(
    lambda leaf: jnp.asarray(0.05 * rng.normal(size=leaf.shape), leaf.dtype),
    shapes,
  )

  def harmonize(params, image, mask):
    return blend(model.apply({"params": params}, image, mask), image, mask)

  start = time.perf_counter()
  compiled = jax.jit(harmonize).lower(params, image, mask).compile()
  compile_seconds = time.perf_counter() - start

  def forward() -> None:
    compiled(params, image, mask).block_until_ready()

  return forward, compile_seconds


def print_table(results: Sequence[Result]) -> None:
  print(
    f"{'network':18s} {'size':>9s} {'compile':>9s} {'median':>9s} "
    f"{'10 % to 90 %':>18s} {'published':>10s}"
  )
  for result in results:
    published = PUBLISHED.get((result.size, result.width))
    name = f"{NAMES.get(result.width, 'HDNet')} (n={result.width})"
    spread = f"{result.quantile(0.1):.4f} to {result.quantile(0.9):.4f}"
    print(
      f"{name:18s} {f'{result.size}x{result.size}':>9s} "
      f"{result.compile_seconds:7.1f} s {result.quantile(0.5):7.4f} s "
      f"{spread + ' s':>18s} {f'{published} s' if published else '':>10s}"
    )
  print(
    f"Seconds an image, {len(results[0].seconds)} runs, random weights. "
    "Published: the paper's Table 4,\nmeasured on another CPU."
  )


def write(path: pathlib.Path, machine: dict, results: list[Result]) -> None:
  values = {
    **machine,
    "results": [
      {
        **dataclasses.asdict(result),
        "median": result.quantile(0.5),
        "quantile_10": result.quantile(0.1),
        "quantile_90": result.quantile(0.9),
        "published": PUBLISHED.get((result.size, result.width)),
      }
      for result in results
    ],
  }
  path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
  main()
