"""SIGTERM as a request that the training loop can answer in its own time."""

import signal
import threading
from typing import Any


class SigtermAsEvent:
  """While entered, SIGTERM sets an event instead of ending the process."""

  def __enter__(self) -> threading.Event:
    event = threading.Event()
    # Handlers can be set in the main thread only (a notebook's is one).
    self._main = threading.current_thread() is threading.main_thread()
    if self._main:
      self._old = signal.signal(signal.SIGTERM, lambda *_: event.set())
    return event

  def __exit__(self, *_: Any) -> None:
    if self._main:
      signal.signal(signal.SIGTERM, self._old)
