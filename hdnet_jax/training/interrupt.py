"""SIGTERM and Ctrl-C as requests that the loop answers in its own time."""

import signal
import threading
from types import FrameType
from typing import Any


class StopSignals:
  """While entered, the first SIGTERM or SIGINT sets an event.

  A second one has its usual effect. Does nothing outside the main thread,
  where Python cannot handle signals.
  """

  _SIGNALS = (signal.SIGTERM, signal.SIGINT)

  def __enter__(self) -> threading.Event:
    self._event = threading.Event()
    self._old: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
      self._old = {
        number: signal.signal(number, self._handle) for number in self._SIGNALS
      }
    return self._event

  def __exit__(self, *_: Any) -> None:
    self._restore()

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del number, frame
    self._event.set()
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)
