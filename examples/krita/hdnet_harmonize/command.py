"""Call `hdnet compose --layer`, which does the work. Nothing here needs Krita.

It runs in the Python that Krita brings, 3.8 or later.
"""

from __future__ import annotations  # the types are of later Pythons

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

TIMEOUT = 300  # seconds, after which the command is taken to hang
_PAUSE = 0.05  # seconds between two looks at it


class Failure(Exception):
  """Says to the user in a line what is wrong."""


class Stopped(Failure):
  """Says that the user gave up."""


class Settings(NamedTuple):
  """What the user chooses.

  command: the name or the path of `hdnet`.
  weights, strength, feather: as of `hdnet compose`.
  """

  command: str = "hdnet"
  weights: str = "hdnet-lite"
  strength: float = 1.0
  feather: float = 0.0


def harmonize(
  settings: Settings,
  cutout: str,
  photo: str,
  layer: str,
  is_stopped: Callable[[], bool] = lambda: False,
  timeout: float = TIMEOUT,
) -> list[str]:
  """Write the harmonized layer; return what the command says about it.

  Args:
    cutout: PNG of the layer, with alpha.
    photo: PNG of what is under it, of the same size.
    layer: PNG to write, of that size, with alpha.
    is_stopped: asked all the time whether the user gave up.
    timeout: in seconds.

  Raises:
    Failure: where no layer was made.
  """
  command = [
    *(os.path.expanduser(settings.command), "compose", cutout, photo),
    *("--layer", "-o", layer, "--weights", settings.weights),
    *(f"--strength={settings.strength:g}", f"--feather={settings.feather:g}"),
  ]
  with tempfile.TemporaryFile() as file:
    process = _start(command, file)
    try:
      _wait(process, is_stopped, timeout)
    finally:
      if process.poll() is None:
        process.kill()
        process.wait()
    file.seek(0)
    said = file.read().decode("utf-8", "replace").splitlines()
  if process.returncode:
    said = said or [f"{command[0]} failed with status {process.returncode}"]
    raise Failure(said[-1].replace("error: ", "", 1))
  return said


def _start(command: list[str], errors) -> subprocess.Popen:
  # Krita's packages may set these for the Python inside Krita.
  own = ("PYTHONHOME", "PYTHONPATH")
  try:
    return subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL,
      stderr=errors,
      env={name: os.environ[name] for name in os.environ if name not in own},
      # On Windows no console window appears.
      creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
  except OSError as error:
    raise Failure(
      f"{command[0]} cannot be run ({error.strerror}); choose the hdnet "
      "command in Tools > Scripts > Harmonize layer: settings"
    ) from None


def _wait(
  process: subprocess.Popen, is_stopped: Callable[[], bool], timeout: float
) -> None:
  """Wait until the process ends, the user gives up, or time is over."""
  end = time.monotonic() + timeout
  while process.poll() is None:
    if is_stopped():
      raise Stopped("stopped; nothing was changed")
    if time.monotonic() > end:
      raise Failure(f"{process.args[0]} took over {timeout:g} s, and was ended")
    time.sleep(_PAUSE)
