"""Several processes that train together, one for each machine."""

import contextlib
import faulthandler
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from hdnet_jax import peers
from hdnet_jax.config import Config, HostsConfig
from hdnet_jax.errors import UserError

_peers: peers.Peers | None = None  # of a distributed run
_telling = threading.Lock()  # taken by the first thread that tells of a loss


@contextlib.contextmanager
def joined(config: Config) -> Iterator[None]:
  """This process as one of the run's, where `config.distributed` is set.

  On a TPU pod and under Slurm, JAX finds out the coordinator, the number of
  processes and this one's rank; elsewhere `config.hosts` gives all three. Enter
  this before anything that asks for devices. Inside it, a process that ends
  before its time ends all, each with a line that says so.

  Raises:
    UserError: where only some of the three are given, or the others cannot be
      reached.
  """
  global _peers
  if not config.distributed:
    yield
    return
  _initialize(config.hosts)
  _peers = _find_peers(config.hosts)
  try:
    yield
  except BaseException as error:
    if is_loss(error):
      _end(f"lost another one ({_first_line(error)[:200]})")
    _peers.break_off()
    raise
  _peers.leave()


def together(function: Callable) -> Callable:
  """A jitted `function` that all processes begin at once.

  At shapes that are new they compile it, wait for each other, and call it. On
  CPUs the processes must meet within 30 seconds at each new computation, a
  limit of JAX's, and may need longer than that to compile it.
  """
  if _peers is None:
    return function
  compiled = {}

  def call(*arguments):
    shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arguments))
    if shapes not in compiled:
      compiled[shapes] = function.lower(*arguments).compile()
      _peers.meet()
    return compiled[shapes](*arguments)

  return call


def is_main() -> bool:
  """Whether this process writes what people read."""
  return jax.process_index() == 0


def agree(values: Any) -> Any:
  """The first process's arrays, bit by bit, in all; each must call this.

  Args:
    values: an array or a tree of them, of the same shapes in all processes.
  """
  if jax.process_count() == 1:
    return jax.tree.map(np.asarray, values)
  # As bytes: the others add zeros, which would change the sign of -0.0.
  raw = jax.tree.map(
    lambda x: np.frombuffer(np.asarray(x).tobytes(), np.uint8), values
  )
  return jax.tree.map(
    lambda sent, x: np.frombuffer(
      np.asarray(sent, np.uint8).tobytes(), np.asarray(x).dtype
    ).reshape(np.shape(x)),
    multihost_utils.broadcast_one_to_all(raw),
    values,
  )


def of_main(function: Callable[[], Any]) -> Any:
  """What `function` returns in the first process, in all; each must call this.

  Only the first one calls it: what is read from a disk once is the same for
  all, also where another one cannot read it, or reads an older state.

  Args:
    function: returns what JSON can hold.

  Raises:
    UserError: in all processes, where `function` does.
  """
  if jax.process_count() == 1:
    return function()
  answer: dict[str, Any] = {}
  if is_main():
    try:
      answer = {"value": function()}
    except UserError as error:
      answer = {"error": str(error)}
  text = json.dumps(answer).encode()
  length = int(agree(np.int64(len(text))))
  sent = np.frombuffer(text.ljust(length)[:length], np.uint8)
  answer = json.loads(agree(sent).tobytes())
  if "error" in answer:
    raise UserError(answer["error"])
  return answer["value"]


def is_loss(error: BaseException | None) -> bool:
  """Whether an error is what a lost process looks like to the others.

  Connections break in whatever was under way: a sum, a barrier, a save. That a
  device has no memory left is this process's own trouble.
  """
  if jax.process_count() == 1:
    return False
  if isinstance(error, jax.errors.JaxRuntimeError):
    return "RESOURCE_EXHAUSTED" not in str(error)
  # As JAX tells it where the broken sum's result is first asked for.
  return isinstance(error, ValueError) and "Gloo" in str(error)


def _initialize(hosts: HostsConfig) -> None:
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
  # Where JAX's runtime is the first to see a loss, it ends this process from
  # within; Python's stacks are not to bury what was said.
  faulthandler.disable()


_NAME_BYTES = 255  # of a host name, at most


def _find_peers(hosts: HostsConfig) -> peers.Peers:
  """Connects this process and that of rank 0, which tells its address."""
  count, rank = jax.process_count(), jax.process_index()
  names, port, token = [], 0, bytes(peers.TOKEN_BYTES)
  if rank == 0:
    server = peers.listen()
    names, port = _own_names(hosts), server.getsockname()[1]
    token = secrets.token_bytes(peers.TOKEN_BYTES)
  card = np.zeros((3, _NAME_BYTES), np.uint8)
  for row, name in zip(card, names, strict=False):
    row[: len(name)] = np.frombuffer(name.encode(), np.uint8)
  card, port, token = multihost_utils.broadcast_one_to_all(
    (card, np.int32(port), np.frombuffer(token, np.uint8))
  )
  token = np.asarray(token, np.uint8).tobytes()
  names = [
    np.asarray(row, np.uint8).tobytes().rstrip(b"\0").decode() for row in card
  ]
  names = [name for name in names if name]
  timeout = max(hosts.timeout, 30)
  try:
    if rank == 0:
      found = peers.accept(server, token, count, timeout)
    else:
      found = {0: peers.connect(names, int(port), token, rank, timeout)}
  except OSError as error:
    raise UserError(
      f"process {rank} of {count} cannot connect with process 0 at "
      f"{' or '.join(names)}, port {port} ({error}); let the run's machines "
      "reach each other on all ports"
    ) from error
  return peers.Peers(found, _on_loss)


def _own_names(hosts: HostsConfig) -> list[str]:
  """Names under which the other processes may know this machine."""
  names = []
  if hosts.coordinator:
    names.append(hosts.coordinator.rsplit(":", 1)[0].strip("[]"))
  # The interface that leads outside; nothing is sent. TEST-NET-1 of RFC 5737.
  with (
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    contextlib.suppress(OSError),  # there is none
  ):
    probe.connect(("192.0.2.1", 9))
    names.append(probe.getsockname()[0])
  return [*names, socket.gethostname()]


def _on_loss(rank: int) -> None:
  _tell(f"lost process {rank}")
  time.sleep(1)  # for an error of this process's own to be told as well
  os._exit(1)


def _end(why: str) -> NoReturn:
  """Ends this process at once: the usual exit waits for the lost one."""
  _tell(why)
  os._exit(1)


def _tell(why: str) -> None:
  if _telling.acquire(blocking=False):
    print(
      f"error: process {jax.process_index()} of {jax.process_count()} {why}, "
      "and stops; start all of them again with the same command: they continue "
      "from the last checkpoint",
      file=sys.stderr,
      flush=True,
    )


def _first_line(error: BaseException) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
