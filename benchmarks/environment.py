"""The machine and the libraries; the standard library only, as common.py."""

import datetime
import importlib.metadata
import os
import pathlib
import platform
import time
from collections.abc import Iterable
from typing import Any

LIBRARIES = ("jax", "torch", "onnxruntime")


def usable_threads() -> int:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
  return {
    "CPU": cpu_name(),
    "threads": usable_threads(),
    # Before the measurements; they are good for little on busy cores.
    "load": round(busy_threads(), 2),
    "python": platform.python_version(),
    **{name: version for name in LIBRARIES if (version := version_of(name))},
    "date": datetime.date.today().isoformat(),
  }


def busy_threads(seconds: float = 0.2) -> float:
  """The processor's threads that work at present, of whatever process.

  Not the load average, which for minutes tells of what has ended.
  """
  file = pathlib.Path("/proc/stat")
  if not file.is_file():  # Linux alone has it
    return os.getloadavg()[0]

  def read() -> tuple[int, int]:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    times = [int(word) for word in first.split()[1:9]]
    return sum(times), times[3] + times[4]  # the idle ones, and those of disks

  total, idle = read()
  time.sleep(seconds)
  later, idle_later = read()
  return os.cpu_count() * (1 - (idle_later - idle) / (later - total))


def cpu_name() -> str:
  file = pathlib.Path("/proc/cpuinfo")  # Linux; platform knows less there
  if file.is_file():
    for line in file.read_text(encoding="utf-8").splitlines():
      if line.startswith("model name"):
        return line.split(":", 1)[1].strip()
  return platform.processor() or platform.machine()


def version_of(library: str) -> str | None:
  try:
    return importlib.metadata.version(library)
  except importlib.metadata.PackageNotFoundError:
    return None


def versions_of(libraries: Iterable[str]) -> dict[str, str | None]:
  return {name: version_of(name) for name in libraries}
