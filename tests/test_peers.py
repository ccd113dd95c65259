"""Connections within one process; with real ones: `training/test_hosts.py`."""

import queue
import socket
import threading

import pytest

from hdnet_jax import peers

TOKEN = bytes(range(peers.TOKEN_BYTES))
SOON = 30  # seconds, where something must happen


@pytest.fixture
def three():
  """The peers of ranks 0 to 2, and the losses that each was told."""
  server = peers.listen()
  port = server.getsockname()[1]
  accepted = {}
  thread = threading.Thread(
    target=lambda: accepted.update(peers.accept(server, TOKEN, 3, SOON))
  )
  thread.start()
  connections = [
    {0: peers.connect(["127.0.0.1"], port, TOKEN, rank, SOON)}
    for rank in (1, 2)
  ]
  thread.join(SOON)
  losses = [queue.Queue() for _ in range(3)]
  everyone = [
    peers.Peers(found, losses[rank].put)
    for rank, found in enumerate([accepted, *connections])
  ]
  yield everyone, losses
  for process in everyone:
    process.break_off()
  for thread in threading.enumerate():
    if thread.name.startswith("watches process"):
      thread.join(SOON)


def in_threads(calls) -> list[threading.Thread]:
  threads = [threading.Thread(target=call, daemon=True) for call in calls]
  for thread in threads:
    thread.start()
  return threads


def test_all_meet_and_nobody_before_the_last(three):
  everyone, _ = three
  for _ in range(3):
    threads = in_threads([process.meet for process in everyone[:2]])
    for thread in threads:
      thread.join(0.05)
      assert thread.is_alive()
    everyone[2].meet()
    for thread in threads:
      thread.join(SOON)
      assert not thread.is_alive()


def test_a_loss_is_told_to_all_who_are_left(three):
  everyone, losses = three
  everyone[2].break_off()
  assert losses[0].get(timeout=SOON) == 2
  assert losses[1].get(timeout=SOON) == 2
  assert losses[2].empty()


def test_the_loss_of_the_first(three):
  everyone, losses = three
  everyone[0].break_off()
  assert losses[1].get(timeout=SOON) == 0
  assert losses[2].get(timeout=SOON) == 0


def test_a_farewell_is_no_loss(three):
  everyone, losses = three
  everyone[1].leave()
  everyone[1].break_off()
  everyone[2].break_off()  # told after what 1 has done was seen
  assert losses[0].get(timeout=SOON) == 2
  assert losses[0].empty()


def test_strangers_are_not_counted():
  server = peers.listen()
  port = server.getsockname()[1]
  strangers = [
    peers.connect(["127.0.0.1"], port, b"x" * peers.TOKEN_BYTES, 1, SOON),
    peers.connect(["127.0.0.1"], port, TOKEN, 7, SOON),
    socket.create_connection(("127.0.0.1", port)),
  ]
  strangers[2].close()
  member = peers.connect(["127.0.0.1"], port, TOKEN, 1, SOON)
  found = peers.accept(server, TOKEN, 2, SOON)
  assert list(found) == [1]
  assert found[1].getpeername()[1] == member.getsockname()[1]
  for connection in (*strangers, member, found[1]):
    connection.close()


def test_nobody_comes():
  with pytest.raises(TimeoutError):
    peers.accept(peers.listen(), TOKEN, 2, timeout=0.01)


def test_the_first_name_that_answers():
  with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    names = ["name.invalid", "127.0.0.1"]
    peers.connect(names, port, TOKEN, 1, SOON).close()
  with pytest.raises(OSError, match="refused"):
    peers.connect(["127.0.0.1"], port, TOKEN, 1, SOON)
