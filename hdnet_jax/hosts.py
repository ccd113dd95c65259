"""Several processes that train together, one for each machine."""

import faulthandler
import os
import sys
from typing import NoReturn

import jax

from hdnet_jax.config import Config
from hdnet_jax.errors import UserError


class ProcessLost(RuntimeError):
  """Another process of the run has ended; this one cannot go on alone."""


def join(config: Config) -> None:
  """Makes this process one of the run's, where `config.distributed` is set.

  On a TPU pod and under Slurm, JAX finds out the coordinator, the number of
  processes and this one's rank; elsewhere `config.hosts` gives all three. Call
  this before anything that asks for devices.

  Raises:
    UserError: where only some of the three are given, or the others cannot be
      reached.
  """
  if not config.distributed:
    return
  hosts = config.hosts
  given = {
    "coordinator": hosts.coordinator != "",
    "count": hosts.count > 0,
    "rank": hosts.rank >= 0,
  }
  if any(given.values()) and not all(given.values()):
    missing = " and ".join(f"--config.hosts.{n}" for n in given if not given[n])
    raise UserError(
      f"give {missing}, too; or none of coordinator, count and rank on a TPU "
      "pod or under Slurm"
    )
  if all(given.values()) and hosts.rank >= hosts.count:
    raise UserError(
      f"config.hosts.rank={hosts.rank} is not one of 0 to {hosts.count - 1}"
    )
  arguments = (
    {
      "coordinator_address": hosts.coordinator,
      "num_processes": hosts.count,
      "process_id": hosts.rank,
    }
    if all(given.values())
    else {}
  )
  try:
    jax.distributed.initialize(
      **arguments,
      initialization_timeout=max(hosts.timeout, 30),
      heartbeat_timeout_seconds=hosts.timeout,
      shutdown_timeout_seconds=hosts.timeout,
    )
  except (ValueError, jax.errors.JaxRuntimeError) as error:
    raise UserError(
      f"the run's processes did not find each other ({_first_line(error)}); "
      "start as many as --config.hosts.count says, with one coordinator and "
      "ranks from 0, or use a TPU pod or Slurm"
    ) from error
  # The runtime may end this process from within, with words of its own: the
  # remedy is said beforehand, and Python's stacks do not bury them.
  faulthandler.disable()
  print(
    f"process {jax.process_index()} of {jax.process_count()}: if another one "
    f"is lost, this one stops within {hosts.timeout} s; then start all of them "
    "again with the same command",
    file=sys.stderr,
    flush=True,
  )


def is_main() -> bool:
  """Whether this process writes what people read."""
  return jax.process_index() == 0


def is_loss(error: BaseException | None) -> bool:
  """Whether an error is what a lost process looks like to the others.

  Connections break in whatever was under way: a sum, a barrier, a save. That a
  device has no memory left is this process's own trouble.
  """
  return (
    jax.process_count() > 1
    and isinstance(error, jax.errors.JaxRuntimeError)
    and "RESOURCE_EXHAUSTED" not in str(error)
  )


def leave(message: str) -> NoReturn:
  """Ends this process at once, with status 1.

  For a run that has lost a process: the usual exit waits for it.
  """
  print(message, file=sys.stderr, flush=True)
  os._exit(1)


def _first_line(error: Exception) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
