"""The kernels that a compiled program starts on a GPU, read off XLA's text."""

import re
from collections import Counter
from collections.abc import Iterator

import hlo

GROUPS = ("cuDNN", "cuBLAS", "fused", "others")
# What is not a kernel.
_FREE = {
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
  *("after-all", "call", "while", "conditional", "partition-id"),
}
_INSTRUCTION = re.compile(
  r"^\s+(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<type>\(.*?\)|\S+) "
  r"(?P<kind>[\w-]+)\((?P<operands>[^)]*)\)(?P<rest>.*)"
)
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_NAMES = {  # by the kind of an instruction: the computations that it runs
  "call": re.compile(r"to_apply=%?([\w.-]+)"),
  "while": re.compile(r"(?:body|condition)=%?([\w.-]+)"),
  "conditional": re.compile(
    r"(?:branch_computations=\{|(?:true|false)_computation=)"
    r"([^},]*(?:, ?%[^},]*)*)"
  ),
}


def count(text: str) -> dict[str, int]:
  """Count what a step starts on the card, from XLA's text of the program.

  Returns:
    Kernels by GROUPS, those "in loops", and the "bytes" of the arrays that all
    of them take and give.
  """
  sums: Counter[str] = Counter()
  module = hlo.read(text)
  for name, looped in run_by(module):
    sizes: dict[str, int] = {}  # of what was computed so far
    for match in instructions(module, name):
      size = sum(array.size for array in hlo.arrays_of(match["type"]))
      sizes[match["name"]] = size
      if match["kind"] not in _FREE:
        operands = re.findall(r"%([\w.-]+)", match["operands"])
        sums[group(match)] += 1
        sums["in loops"] += looped
        sums["bytes"] += size + sum(sizes[operand] for operand in operands)
  return dict(sums)


def run_by(module: hlo.Module) -> Iterator[tuple[str, bool]]:
  """The computations of kernels, and whether a loop runs them."""
  waiting = [(module.entry, False)]
  while waiting:
    name, looped = waiting.pop()
    yield name, looped
    for match in instructions(module, name):
      if names := _NAMES.get(match["kind"]):
        waiting += [
          (other.strip(" %"), looped or match["kind"] == "while")
          for part in names.findall(match["rest"])
          for other in part.split(",")
        ]


def instructions(module: hlo.Module, name: str) -> Iterator[re.Match]:
  return filter(None, map(_INSTRUCTION.match, module.computations[name]))


def group(match: re.Match) -> str:
  if match["kind"] == "fusion":
    return "fused"
  target = _TARGET.search(match["rest"])
  if target and "cudnn" in target[1]:
    return "cuDNN"
  if target and "cublas" in target[1]:
    return "cuBLAS"
  return "others"
