"""A compiled program's text, as XLA writes it: its computations and arrays."""

import math
import re
from typing import NamedTuple

_ARRAY = re.compile(r"\b(pred|bf16|[sufc]\d+)\w*\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*\{$")


class Array(NamedTuple):
  dtype: str
  shape: tuple[int, ...]

  @property
  def size(self) -> int:
    """In bytes."""
    bits = 8 if self.dtype == "pred" else int(re.sub(r"\D", "", self.dtype))
    return math.prod(self.shape) * bits // 8


class Module(NamedTuple):
  computations: dict[str, list[str]]  # the lines of each, by its name
  entry: str  # the name of the one that is run


def read(text: str) -> Module:
  computations: dict[str, list[str]] = {}
  lines: list[str] = []
  entry = ""
  for line in text.splitlines():
    if match := _COMPUTATION.match(line):
      lines = computations[match["name"]] = []
      entry = match["name"] if match["entry"] else entry
    else:
      lines.append(line)
  return Module(computations, entry)


def arrays_of(text: str) -> tuple[Array, ...]:
  """The arrays of a type, as `(f32[2,3]{1,0}, s32[])`."""
  return tuple(
    Array(dtype, tuple(map(int, filter(None, shape.split(",")))))
    for dtype, shape in _ARRAY.findall(text)
  )
