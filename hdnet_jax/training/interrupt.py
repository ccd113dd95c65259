"""SIGTERM and Ctrl-C as requests to stop after a step."""

import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


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

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del number, frame
    self._event.set()
    self._restore()

  def _restore(self) -> None:
    for number, handler in self._old.items():
      signal.signal(number, handler)
