"""Work on CPUs: how many there are, and what their work does to memory."""

import ctypes
import importlib.metadata
import importlib.util
import os
import sys

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def count_cpus() -> int:
  """Count the processors that this process may use.

  A Slurm job or a container may have fewer than the machine.
  """
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def no_accelerator() -> bool:
  """Return whether JAX can run on CPUs only; JAX is not imported."""
  if os.environ.get("JAX_PLATFORMS") == "cpu":
    return True
  plugins = importlib.metadata.entry_points(group="jax_plugins")
  names = ("jax_plugins", "libtpu")
  return not (plugins or any(map(importlib.util.find_spec, names)))


def keep_freed_memory() -> bool:
  """Let this process keep the memory that it frees, until it ends.

  On CPUs a training step allocates a gigabyte and frees it. glibc gives that
  back to the system, which has to clear as many pages anew in the next step: a
  tenth of the time. Call this before JAX makes its devices, whose threads
  would have arenas of their own by then.

  Returns:
    Whether it is so from now on. Other C libraries than glibc have no such
    settings, and nothing is changed.
  """
  if sys.platform != "linux":
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if mallopt is None:
    return False
  # Never trim, take no large blocks by mmap, which are unmapped when they are
  # freed, and use one arena, for those of threads are trimmed at any setting.
  settings = ((_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0), (_ARENA_MAX, 1))
  return all(mallopt(name, value) == 1 for name, value in settings)
