"""The folder checkpoints/: which steps are there, which one is best.

What is under a step's own name is whole. Other names are of checkpoints that
are being written or removed, or were when their run was killed.
"""

import json
import logging
import math
import pathlib
import shutil

from hdnet_jax.atomic_write import flush
from hdnet_jax.training.seal import Damaged, seal

log = logging.getLogger(__name__)

BEST_METRIC = "psnr"  # of harmonized validation images; more is better
# Of checkpoints between evaluations.
UNMEASURED = {BEST_METRIC: -math.inf}
METRICS = pathlib.Path("metrics", "metrics")
WRITING, _REMOVED = ".writing", ".removed"
_ORBAX = ".orbax-checkpoint-tmp"  # what it writes has this name to the end


def newest_step(workdir: pathlib.Path) -> int:
  """From which a run in `workdir` continues, or 0; no checkpoint is opened."""
  return max(steps(workdir / "checkpoints"), default=0)


def steps(directory: pathlib.Path) -> list[int]:
  names = (path.name for path in directory.glob("*"))
  return sorted(int(name) for name in names if name.isdecimal())


def best(directory: pathlib.Path) -> int | None:
  """The step whose validation was best, of equal ones the last."""
  found, found_step = -math.inf, None
  for step in steps(directory):
    try:
      value = quality(directory / str(step))
    except Damaged as error:
      log.warning("%s is not counted (%s)", directory / str(step), error)
      continue
    if -math.inf < value and found <= value:
      found, found_step = value, step
  return found_step


def quality(checkpoint: pathlib.Path) -> float:
  """Of its validation; -inf where there was none.

  Raises:
    Damaged: where the file that tells it is.
  """
  path = checkpoint / METRICS
  try:
    value = float(json.loads(path.read_bytes())[BEST_METRIC])
  except FileNotFoundError:
    return -math.inf
  except (KeyError, TypeError, ValueError):
    raise Damaged(f"its {METRICS} is cut off") from None
  return -math.inf if math.isnan(value) else value


def clear(directory: pathlib.Path) -> None:
  """Makes the folder, and removes what a killed run left half-done in it."""
  directory.mkdir(parents=True, exist_ok=True)
  for ending in (WRITING, _REMOVED, _ORBAX):
    for path in directory.glob(f"[0-9]*{ending}*"):
      shutil.rmtree(path)


def put(written: pathlib.Path, step: int, keep: int) -> None:
  """Seals what was written, gives it its name, and lets older steps go.

  Args:
    keep: steps that stay, the newest; besides the best one.
  """
  directory = written.parent
  seal(written)
  written.rename(directory / str(step))
  flush(directory)  # before older ones go
  there = steps(directory)
  for old in set(there) - {*there[-keep:], best(directory)}:
    removed = directory / f"{old}{_REMOVED}"
    (directory / str(old)).rename(removed)
    shutil.rmtree(removed)


def set_aside(directory: pathlib.Path, damaged: dict[int, str]) -> None:
  """Moves damaged checkpoints away, so that their steps can be saved.

  Args:
    damaged: by step, what is wrong with it.
  """
  folder = directory.with_name("broken_checkpoints")
  for step, why in damaged.items():
    folder.mkdir(exist_ok=True)
    place = folder / str(step)
    number = 0
    while place.exists():
      number += 1
      place = folder / f"{step}.{number}"
    (directory / str(step)).rename(place)
    log.warning(
      "checkpoint %d cannot be read (%s); moved to %s", step, why, place
    )
