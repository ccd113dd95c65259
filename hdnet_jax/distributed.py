"""Several processes that train together, and signals that ask them to stop."""

import contextlib
import faulthandler
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from hdnet_jax import peers
from hdnet_jax.config import Config, HostsConfig
from hdnet_jax.errors import UserError

_peers: peers.Peers | None = None  # of a distributed run
_loss_reported = (
  threading.Lock()
)  # taken by the first thread that tells of a loss


@contextlib.contextmanager
def initialize(config: Config) -> Generator[None]:
  """Join the run's other processes, where `config.distributed` is set.

  On a TPU pod and under Slurm, JAX finds the coordinator, the number of
  processes and this one's rank; elsewhere `config.hosts` gives all three. Enter
  this before anything that asks for devices. Inside it, a process that is lost
  ends all others, each with a line that says so.

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
    if is_lost_process(error):
      _end(f"lost another one ({_first_line(error)[:200]})")
    _peers.break_off()
    raise
  _peers.leave()


def compile_before_start(function: Callable) -> Callable:
  """Wrap a jitted function so that processes wait until all have compiled it.

  On CPUs the processes must start each new computation within 30 seconds of
  each other, which is JAX's limit, and compiling may take longer.
  """
  others = _peers
  if others is None:
    return function
  if not isinstance(function, jax.stages.Wrapped):
    raise TypeError("only a jitted function is compiled")
  compiled: dict[tuple[tuple[int, ...], ...], jax.stages.Compiled] = {}

  def call(*arguments: Any) -> Any:
    shapes = tuple(leaf.shape for leaf in jax.tree.leaves(arguments))
    if shapes not in compiled:
      compiled[shapes] = function.lower(*arguments).compile()
      others.meet()
    return compiled[shapes](*arguments)

  return call


def is_main() -> bool:
  """Return whether this process writes what people read."""
  return jax.process_index() == 0


def broadcast(values: Any) -> Any:
  """Send the arrays of process 0 to all, bit by bit; each must call this.

  Args:
    values: an array or a tree of them, of the same shapes in all processes.
  """
  if jax.process_count() == 1:
    return jax.tree.map(np.asarray, values)
  # As bytes, because the broadcast is a sum, which loses the sign of -0.0.
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


def run_on_main(function: Callable[[], Any]) -> Any:
  """Call `function` in process 0, return its result in all; all must call this.

  So all processes agree on what is read from a disk, even where one of them
  cannot read it, or reads an older state.

  Args:
    function: returns a JSON-serializable value.

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
  length = int(broadcast(np.int64(len(text))))
  sent = np.frombuffer(text.ljust(length)[:length], np.uint8)
  answer = json.loads(broadcast(sent).tobytes())
  if "error" in answer:
    raise UserError(answer["error"])
  return answer["value"]


class StopSignals:
  """Take the first SIGTERM or SIGINT as a request; a second acts as usual.

  Does nothing outside the main thread, where Python cannot handle signals.
  With several processes, a SIGTERM to any of them stops all after the same
  step. JAX's runtime listens for it, and Ctrl-C is left alone.
  """

  _SIGNALS = (signal.SIGTERM, signal.SIGINT)

  def __enter__(self) -> "StopSignals":
    self._event = threading.Event()
    self._old: dict[int, Any] = {}
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and jax.process_count() == 1:
      self._old = {
        number: signal.signal(number, self._handle) for number in self._SIGNALS
      }
    return self

  def __exit__(self, *_: Any) -> None:
    self._restore()

  def asked(self, step: int) -> bool:
    """Return whether to stop; every process must call this once a step."""
    if jax.process_count() > 1:
      return multihost_utils.reached_preemption_sync_point(step)
    return self._event.is_set()

  def _handle(self, *_: Any) -> None:
    self._event.set()
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)


def is_lost_process(error: BaseException | None) -> bool:
  """Return whether an error comes from the loss of another process.

  A lost connection fails whatever was running: a sum, a barrier, a save.
  Running out of memory is this process's own error.
  """
  if jax.process_count() == 1:
    return False
  if isinstance(error, jax.errors.JaxRuntimeError):
    return "RESOURCE_EXHAUSTED" not in str(error)
  # JAX raises this where the result of a failed sum is first read.
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
  is_told = all(given.values())
  try:
    jax.distributed.initialize(
      hosts.coordinator if is_told else None,
      hosts.count if is_told else None,
      hosts.rank if is_told else None,
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
  # If JAX's runtime notices a loss first, it aborts the process. faulthandler's
  # stacks would then hide the message.
  faulthandler.disable()


def _find_peers(hosts: HostsConfig) -> peers.Peers:
  """Connect this process with that of rank 0, which sends its address."""
  count, rank = jax.process_count(), jax.process_index()
  server = peers.listen() if rank == 0 else None
  own_port = server.getsockname()[1] if server else 0

  def address() -> tuple[list[str], int, str]:
    token = secrets.token_hex(peers.TOKEN_BYTES)
    return _own_names(hosts), own_port, token

  names, port, token = run_on_main(address)
  token = bytes.fromhex(token)
  timeout = max(hosts.timeout, 30)
  try:
    if server:
      connections = peers.accept(server, token, count, timeout)
    else:
      connections = {0: peers.connect(names, port, token, rank, timeout)}
  except OSError as error:
    raise UserError(
      f"process {rank} of {count} cannot connect with process 0 at "
      f"{' or '.join(names)}, port {port} ({error}); let the run's machines "
      "reach each other on all ports"
    ) from error
  return peers.Peers(
    connections,
    # Wait a second, so that this process's own error is printed, too.
    lambda rank: _end(f"lost process {rank}", 1),
  )


def _own_names(hosts: HostsConfig) -> list[str]:
  """List the names under which other processes may reach this machine."""
  names = []
  if hosts.coordinator:
    names.append(hosts.coordinator.rsplit(":", 1)[0].strip("[]"))
  # The address of the outward interface. Nothing is sent (RFC 5737).
  with (
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    contextlib.suppress(OSError),  # there is none
  ):
    probe.connect(("192.0.2.1", 9))
    names.append(probe.getsockname()[0])
  return [name for name in (*names, socket.gethostname()) if name]


def _end(why: str, pause: float = 0) -> NoReturn:
  """Print why, only once, and exit; the usual exit waits for other processes.

  Args:
    pause: seconds before the end.
  """
  if _loss_reported.acquire(blocking=False):
    print(
      f"error: process {jax.process_index()} of {jax.process_count()} {why}, "
      "and stops; start all of them again with the same command: they continue "
      "from the last checkpoint",
      file=sys.stderr,
      flush=True,
    )
  time.sleep(pause)
  os._exit(1)


def _first_line(error: BaseException) -> str:
  return (str(error).splitlines() or [type(error).__name__])[0]
