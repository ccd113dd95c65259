"""Where a training step's time on the GPU goes, from a profile of `gpu.py`.

    python benchmarks/gpu.py --width 8 --tasks train --trace trace
    python benchmarks/gpu_parts.py trace/train-8-256-12-tf32

Two tables of milliseconds a step: by part of the network, forward and backward
apart, and by kernel. A kernel that XLA fused out of operations of several parts
names none: those are "fused". "idle" is when the card waited for the host.
"""

import collections
import pathlib
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple

import common

FUSED = "fused"
STEPS = 3  # that gpu.py profiles
LONGEST = 15  # rows of a table


class Event(NamedTuple):
  kernel: str
  operation: str  # JAX's path to it, as jit(train_step)/jvp(HDNet)/y0/conv/...
  start: float  # ns
  end: float


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("trace", type=pathlib.Path, help="folder of one program")
  args = parser.parse_args()
  events = read(args.trace)
  for title, name in (("part", part_of), ("kernel", kernel_of)):
    rows = sums(events, name)
    common.print_table(
      (title, "ms a step", "share"),
      [
        (key, f"{time / STEPS / 1e6:.2f}", f"{time / total(events):.0%}")
        for key, time in [*rows.most_common(LONGEST), ("idle", idle(events))]
      ],
    )
    print()
  print(f"{total(events) / STEPS / 1e6:.2f} ms a step")


def read(folder: pathlib.Path) -> list[Event]:
  """What ran on the first GPU, in order."""
  from jax.profiler import ProfileData

  files = sorted(folder.rglob("*.xplane.pb"))
  if not files:
    sys.exit(f"{folder} holds no profile; make one with gpu.py --trace")
  planes = [
    plane
    for plane in ProfileData.from_file(str(files[-1])).planes
    if plane.name.startswith("/device:GPU")
  ]
  if not planes:
    sys.exit(f"{files[-1]} is of no GPU")
  events = [
    Event(
      event.name,
      dict(event.stats).get("name", ""),
      event.start_ns,
      event.start_ns + event.duration_ns,
    )
    for line in planes[0].lines
    for event in line.events
  ]
  return sorted(events, key=lambda event: event.start)


def part_of(event: Event) -> str:
  found = re.search(r"jvp\(HDNet\)\)?/(\w+)", event.operation)
  if not found:
    return FUSED
  backward = "transpose(" in event.operation
  return f"{found.group(1)}, {'backward' if backward else 'forward'}"


def kernel_of(event: Event) -> str:
  return event.kernel[:60]


def sums(events: Iterable[Event], name) -> collections.Counter:
  """Nanoseconds by `name` of an event."""
  times: collections.Counter = collections.Counter()
  for event in events:
    times[name(event)] += event.end - event.start
  return times


def total(events: list[Event]) -> float:
  return max(event.end for event in events) - events[0].start


def idle(events: list[Event]) -> float:
  """Nanoseconds, between first and last, in which nothing ran."""
  waited, done = 0.0, events[0].start
  for event in events:
    waited += max(event.start - done, 0)
    done = max(done, event.end)
  return waited


if __name__ == "__main__":
  main()
