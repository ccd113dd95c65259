"""How many processors there are to work on."""

import os


def count_cpus() -> int:
  """Count the processors that this process may use.

  A Slurm job or a container may have fewer than the machine.
  """
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
