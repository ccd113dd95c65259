"""What the benchmarks share; the standard library only.

So it can be imported where the time of importing is what is measured.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import environment

FORMS = ("paper", "official")
NAMES = {8: "HDNet-lite", 32: "HDNet"}
# The programs that harmonize.
TITLES = {
  "jax": "hdnet_jax",
  "onnx": "ONNX Runtime",
  "official": "authors' PyTorch",
}


def make_parser(text: str) -> argparse.ArgumentParser:
  """A script's parser; --help shows `text`, its docstring with examples."""
  return argparse.ArgumentParser(
    description=text, formatter_class=argparse.RawDescriptionHelpFormatter
  )


def add_form_flag(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--form",
    default="paper",
    choices=FORMS,
    help="of local dynamics in our network; the authors' code is `official`",
  )


def add_common_flags(
  parser: argparse.ArgumentParser, official: bool = True
) -> None:
  if official:
    parser.add_argument(
      "--official",
      type=pathlib.Path,
      metavar="PATH",
      help="your clone of the authors' repository, measured too (needs torch)",
    )
  parser.add_argument("--threads", type=int, help="to run on (default: all)")
  parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")


def begin(
  parser: argparse.ArgumentParser, args: argparse.Namespace
) -> dict[str, Any]:
  """What every script does before it measures; returns the machine.

  Must come before JAX starts: its threads are as many as it may run on.
  """
  limit_threads(parser, args.threads)
  for path in (args.json, getattr(args, "figure", None)):
    # Said now, and not when all is measured.
    if path and not path.parent.is_dir():
      parser.error(f"{path}: there is no folder {path.parent}")
  if getattr(args, "official", None):
    import official

    official.check(args.official)
  machine = environment.describe_machine()
  print("  ".join(f"{name} {value}" for name, value in machine.items()))
  if machine["load"] > 0.3 * machine["threads"]:
    print("The processor is busy with other work: do not record these times.")
  sys.stdout.flush()
  return machine


def limit_threads(parser: argparse.ArgumentParser, count: int | None) -> None:
  if count is None:
    return
  if not hasattr(os, "sched_setaffinity"):
    parser.error("--threads needs Linux")
  allowed = sorted(os.sched_getaffinity(0))
  if not 0 < count <= len(allowed):
    parser.error(f"--threads must be from 1 to {len(allowed)}, not {count}")
  os.sched_setaffinity(0, allowed[:count])


def kinds(official: pathlib.Path | None) -> list[str]:
  """What can be measured here."""
  onnx = all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))
  return [
    "jax",
    *(["onnx"] if onnx else []),
    *(["official"] if official else []),
  ]


def inputs(size: int, share: float = 0.25, batch: int = 1) -> tuple:
  """Random composites in -1 to 1, and masks of their upper rows; float32."""
  import numpy as np

  rng = np.random.default_rng(0)
  composite = rng.random((batch, size, size, 3), np.float32) * 2 - 1
  mask = np.zeros((batch, size, size, 1), np.float32)
  mask[:, : round(share * size)] = 1
  return composite, mask


def interleave(
  functions: Mapping[Any, Callable[[], None]],
  runs: int,
  warm: int = 1,
  pause: float = 0.05,
) -> dict[Any, list[float]]:
  """Seconds of each function's runs, which take turns.

  Args:
    warm: runs before that are not counted.
    pause: seconds before each run. The threads of a library spin for a while
      after its last operation, and would slow down the next one's.
  """
  for function in functions.values():
    for _ in range(warm):
      function()
  seconds: dict[Any, list[float]] = {name: [] for name in functions}
  for _ in range(runs):
    for name, function in functions.items():
      time.sleep(pause)
      start = time.perf_counter()
      function()
      seconds[name].append(time.perf_counter() - start)
  return seconds


def quantile(values: Sequence[float], share: float) -> float:
  """With linear interpolation, as NumPy's."""
  ordered = sorted(values)
  place = share * (len(ordered) - 1)
  low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
  return low + (place - math.floor(place)) * (high - low)


def summary(seconds: Sequence[float]) -> dict[str, Any]:
  """What a file of numbers has of runs."""
  return {
    "median": quantile(seconds, 0.5),
    "quantile_10": quantile(seconds, 0.1),
    "quantile_90": quantile(seconds, 0.9),
    "seconds": list(seconds),
  }


def summary_of_processes(
  runs: Sequence[tuple[float, int]],
) -> dict[str, Any]:
  """What a file of numbers has of processes: seconds, and their peak memory."""
  return {
    **summary([seconds for seconds, _ in runs]),
    "peak": max(peak for _, peak in runs),
  }


def spread(seconds: Sequence[float]) -> str:
  """Where the middle 80 % of the runs lie."""
  low, high = quantile(seconds, 0.1), quantile(seconds, 0.9)
  return f"{short(low)} to {short(high)}"


def short(value: float) -> str:
  """Three digits, without an exponent."""
  if not value:
    return "0"
  digits = max(0, 2 - math.floor(math.log10(abs(value))))
  return f"{value:.{digits}f}"


def gigabytes(size: float | None) -> str:
  return "" if size is None else f"{size / 1e9:.2f} GB"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
  """A Markdown table whose columns are aligned."""
  rows = [list(head), *map(list, rows)]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  rows.insert(1, ["-" * width for width in widths])
  for row in rows:
    cells = [cell.ljust(n) for cell, n in zip(row, widths, strict=True)]
    print("| " + " | ".join(cells) + " |", flush=True)


def write_json(
  path: pathlib.Path | None,
  machine: Mapping[str, Any],
  args: argparse.Namespace,
  results: Sequence[Mapping[str, Any]],
  **more: Any,
) -> None:
  """Everything of a run, if there is a path; times are in seconds."""
  if path is None:
    return
  # Paths are of the machine, and say nothing about the numbers.
  paths = ("json", "figure", "child", "root", "trace", "folder")
  arguments = {k: v for k, v in vars(args).items() if k not in paths}
  if arguments.get("official"):
    arguments["official"] = True
  if arguments.get("weights"):
    arguments["weights"] = arguments["weights"].name
  values = {
    "machine": dict(machine),
    "arguments": arguments,
    "results": list(results),
    **more,
  }
  text = json.dumps(values, indent=2, default=str)
  path.write_text(text + "\n", encoding="utf-8")


def resident() -> int:
  """Bytes that this process holds now; 0 where that is not known."""
  file = pathlib.Path("/proc/self/statm")
  if not file.is_file():
    return 0
  return int(file.read_text().split()[1]) * resource.getpagesize()


def peak_memory() -> int:
  """Bytes of the largest resident set that this process has had."""
  status = pathlib.Path("/proc/self/status")
  if status.is_file():
    # Not `getrusage`, which starts at what the parent held at the fork.
    for line in status.read_text(encoding="utf-8").splitlines():
      if line.startswith("VmHWM:"):
        return 1024 * int(line.split()[1])
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == "darwin" else 1024 * peak


def available_memory() -> int | None:
  """Bytes that could be had without swapping, where that is known."""
  file = pathlib.Path("/proc/meminfo")
  if file.is_file():
    for line in file.read_text(encoding="utf-8").splitlines():
      if line.startswith("MemAvailable:"):
        return 1024 * int(line.split()[1])
  return None


def limit_memory(size: int | None) -> None:
  """Makes allocations beyond `size` bytes fail, and not the machine."""
  if size and sys.platform == "linux":
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def run_child(
  script: str,
  case: Mapping[str, Any],
  timeout: float | None = None,
  env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
  """What `script --child CASE` prints as JSON in its last line.

  Where it fails the result has only `error`: why, in a line.
  """
  command = [sys.executable, script, "--child", json.dumps(case)]
  try:
    done = subprocess.run(
      command,
      capture_output=True,
      text=True,
      timeout=timeout,
      env={**os.environ, **(env or {})},
    )
  except subprocess.TimeoutExpired:
    return {"error": f"not done after {timeout:.0f} s"}
  if done.returncode < 0:
    return {"error": f"ended by signal {-done.returncode}"}
  if done.returncode:
    lines = done.stderr.strip().splitlines() or ["no message"]
    return {"error": lines[-1][:200]}
  return json.loads(done.stdout.splitlines()[-1])
