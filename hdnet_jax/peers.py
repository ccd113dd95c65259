"""Connections between a run's processes: who is there, and who was lost.

Every process holds a connection to that of rank 0. A connection that closes
without `bye` is a lost process. JAX's own heartbeat notices it later, and ends
this process with a stack trace before Python can print a message. Messages are
lines: `met`, `bye`, and `lost RANK`, which rank 0 sends to those that are left.
"""

import contextlib
import hmac
import socket
import threading
import time
from collections.abc import Callable, Sequence

TOKEN_BYTES = 16  # of a secret that only the run's processes know
_HELLO = TOKEN_BYTES + 4  # token, rank


def listen() -> socket.socket:
  """Listen on a free port of every interface."""
  if socket.has_dualstack_ipv6():
    return socket.create_server(
      ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
    )
  return socket.create_server(("", 0))


def accept(
  server: socket.socket, token: bytes, count: int, timeout: float
) -> dict[int, socket.socket]:
  """Accept ranks 1 to `count` - 1, return them by rank, close `server`.

  Raises:
    TimeoutError: where one of them does not come in time.
  """
  connections: dict[int, socket.socket] = {}
  deadline = time.monotonic() + timeout
  with server, contextlib.ExitStack() as unfinished:
    while len(connections) < count - 1:
      server.settimeout(max(deadline - time.monotonic(), 1e-3))
      connection = unfinished.enter_context(server.accept()[0])
      connection.settimeout(5)
      hello = b""
      with contextlib.suppress(OSError):  # a port scan, say
        hello = _read_exactly(connection, _HELLO)
      rank = int.from_bytes(hello[TOKEN_BYTES:], "big")
      if hmac.compare_digest(hello[:TOKEN_BYTES], token) and 0 < rank < count:
        connections[rank] = connection
      else:
        connection.close()
    unfinished.pop_all()
  return connections


def connect(
  hosts: Sequence[str], port: int, token: bytes, rank: int, timeout: float
) -> socket.socket:
  """Connect with rank 0, at the first of its names that answers.

  Raises:
    OSError: where none does.
  """
  failure: OSError = OSError("no address")
  for host in hosts:
    try:
      connection = socket.create_connection((host, port), timeout)
    except OSError as error:
      failure = error
      continue
    connection.sendall(token + rank.to_bytes(4, "big"))
    return connection
  raise failure


class Peers:
  """The open connections: all of them at rank 0, one at the others.

  Args:
    connections: by the rank at the other end.
    on_loss: called, in another thread, with the rank of a lost process.
  """

  def __init__(
    self,
    connections: dict[int, socket.socket],
    on_loss: Callable[[int], None],
  ):
    self._connections = connections
    self._on_loss = on_loss
    self._changed = threading.Condition()
    self._met = dict.fromkeys(connections, 0)  # how many `met` it has sent
    self._meetings = 0
    self._over = False  # by a loss, or the end
    for rank, connection in connections.items():
      connection.settimeout(None)
      connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      threading.Thread(
        target=self._watch,
        args=(rank, connection),
        name=f"watches process {rank}",
        daemon=True,
      ).start()

  def meet(self) -> None:
    """Wait until every process has called this as many times as this one."""
    self._meetings += 1
    main = 0 not in self._connections
    if not main:
      self._send("met")
    with self._changed:
      self._changed.wait_for(
        lambda: all(met >= self._meetings for met in self._met.values())
      )
    if main:
      self._send("met")

  def leave(self) -> None:
    """Say goodbye, so that the end of this process is no loss."""
    self._over = True
    self._send("bye")

  def break_off(self) -> None:
    """Close without goodbye, so that the other processes stop, too."""
    self._over = True
    for connection in self._connections.values():
      with contextlib.suppress(OSError):  # closed by the other end
        connection.shutdown(socket.SHUT_RDWR)

  def _watch(self, rank: int, connection: socket.socket) -> None:
    with (
      connection,
      connection.makefile("r") as lines,
      contextlib.suppress(OSError),  # a broken connection is a closed one
    ):
      for line in lines:
        word, *lost = line.split()
        if word == "bye":
          return
        if word == "lost":
          rank = int(lost[0])
          break
        with self._changed:
          self._met[rank] += 1
          self._changed.notify_all()
    # Only the first loss counts, because the others then close theirs.
    with self._changed:
      first, self._over = not self._over, True
    if first:
      self._send(f"lost {rank}")
      self._on_loss(rank)

  def _send(self, line: str) -> None:
    for connection in self._connections.values():
      with contextlib.suppress(OSError):  # its `_watch` thread reports it
        connection.sendall(f"{line}\n".encode())


def _read_exactly(connection: socket.socket, size: int) -> bytes:
  data = b""
  while len(data) < size:
    part = connection.recv(size - len(data))
    if not part:
      raise ConnectionError("closed")
    data += part
  return data
