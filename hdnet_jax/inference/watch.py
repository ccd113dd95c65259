"""Watch a folder: tell which composites in it are complete, and new.

The folder is listed again and again. A composite is ready when neither it nor
its mask has changed since the last time: a file that is still being written, or
copied, grows. So no file is read half-written.
"""

import os
import pathlib
from collections.abc import Callable

from hdnet_jax.inference.folder import Pair, Plan

# Of each file of a pair: its path, size and time of change.
_State = tuple[tuple[str, int, int], ...]


class Watcher:
  """Report, at each look at a folder, what is new and ready.

  A pair is given once, and again after its composite or mask is saved anew, or
  another file becomes its mask.

  Args:
    plan: pairs what is in the folder now.
  """

  def __init__(self, plan: Callable[[], Plan]):
    self._plan = plan
    self._last: dict[pathlib.Path, _State | None] = {}
    self._given: dict[pathlib.Path, _State] = {}
    self._last_lines: set[str] = set()
    self._told: set[str] = set()
    self.failures: list[str] = []

  def look(self) -> tuple[list[Pair], list[str]]:
    """Return pairs that are ready, and failures and notes not returned before.

    Set `failures` to what can be paired neither now nor at the last look.
    """
    found = self._plan()
    now = {pair.composite: _state(pair) for pair in found.pairs}
    ready = []
    for pair in found.pairs:
      name, state = pair.composite, now[pair.composite]
      if state is None or state != self._last.get(name):
        continue
      if state != self._given.get(name):
        self._given[name] = state
        ready.append(pair)
    self._last = now
    # A mask may come a little later than its composite.
    last, lines = self._last_lines, [*found.failures, *found.notes]
    self.failures = [line for line in found.failures if line in last]
    news = [line for line in lines if line in last - self._told]
    self._last_lines = set(lines)
    self._told.update(news)
    return ready, news


def _state(pair: Pair) -> _State | None:
  """Return the state of a pair's files; None while one is empty, or gone."""
  states = []
  for path in filter(None, (pair.composite, pair.mask)):
    try:
      found = os.stat(path)
    except OSError:  # it has gone meanwhile
      return None
    if not found.st_size:
      return None
    states.append((str(path), found.st_size, found.st_mtime_ns))
  return tuple(states)
