"""The collectives of a compiled program, read off XLA's text of it."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import hlo
from hlo import Array

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
_INSTRUCTION = re.compile(
  r"^\s*(?:ROOT )?%?[\w.-]+ = (?P<type>.+?) "
  rf"(?P<kind>{'|'.join(KINDS)})(?P<start>-start)?\("
)
_LOOP = re.compile(r" while\(.*body=%?([\w.-]+)")
_CALL = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_CHANNEL = re.compile(r"channel_id=(\d+)")
_SOURCE = re.compile(r'op_name="([^"]*)"')


class Collective(NamedTuple):
  kind: str  # of KINDS
  arrays: tuple[Array, ...]  # its results, on each device
  looped: bool  # whether it is in a loop, and runs once a turn
  source: str  # the operation of JAX that it comes from

  @property
  def size(self) -> int:
    """Bytes of its results, on each device."""
    return sum(array.size for array in self.arrays)


def read(text: str) -> list[Collective]:
  """The collectives of a module, each once.

  A collective that runs beside other work is in several fusions of a TPU's
  program, of which each does a part: they share its channel. It may begin
  before a loop and end after it.
  """
  bodies = hlo.read(text).computations
  looped = _looped(bodies)
  found: dict[tuple[str, str], Collective] = {}
  for name, lines in bodies.items():
    for line in lines:
      match = _INSTRUCTION.match(line)
      if not match:
        continue
      channel = _CHANNEL.search(line)
      source = _SOURCE.search(line)
      # Without a channel it is alone.
      key = match["kind"], channel[1] if channel else line
      is_looped = name in looped and (key not in found or found[key].looped)
      found[key] = Collective(
        match["kind"],
        _results(match["kind"], match["type"], bool(match["start"])),
        is_looped,
        source[1] if source else "",
      )
  return list(found.values())


def by_kind(collectives: Iterable[Collective]) -> dict[str, list[int]]:
  """Count and bytes, those in loops once, by kind."""
  sums: dict[str, list[int]] = {}
  for collective in collectives:
    total = sums.setdefault(collective.kind, [0, 0])
    total[0] += 1
    total[1] += collective.size
  return sums


def _results(kind: str, text: str, start: bool) -> tuple[Array, ...]:
  arrays = hlo.arrays_of(text)
  if start and kind in ("all-gather", "collective-permute"):
    # Operands, then results, then what the transfer waits on.
    arrays = tuple(a for a in arrays if a != Array("u32", ()))
    arrays = arrays[len(arrays) // 2 :]
  return arrays


def _looped(bodies: dict[str, list[str]]) -> set[str]:
  """The computations that a loop runs, and those that they call."""
  calls = {
    name: {
      called.strip().lstrip("%")
      for line in lines
      for names in (*_CALL.findall(line), *_BRANCHES.findall(line))
      for called in names.split(",")
    }
    for name, lines in bodies.items()
  }
  waiting = [
    body
    for lines in bodies.values()
    for line in lines
    for body in _LOOP.findall(line)
  ]
  looped: set[str] = set()
  while waiting:
    name = waiting.pop()
    if name not in looped:
      looped.add(name)
      waiting += calls.get(name, ())
  return looped
