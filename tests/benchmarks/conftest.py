"""Starting the scripts of benchmarks/, on tiny sizes; nothing is timed."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from hdnet_jax.model.hdnet import HDNet

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
NETWORK = ("--width", "2")


def start(script: str, *arguments) -> subprocess.CompletedProcess:
  return subprocess.run(
    [sys.executable, FOLDER / f"{script}.py", *map(str, arguments)],
    capture_output=True,
    text=True,
    env={**os.environ, "JAX_NUM_CPU_DEVICES": "1"},
  )


def measure(script: str, path: pathlib.Path, *arguments) -> list[dict]:
  """The results in the JSON file, after checks of it and of the table."""
  file = path / "numbers.json"
  done = start(script, *arguments, "--json", file)
  assert done.returncode == 0, done.stderr
  text = file.read_text()
  assert str(path) not in text
  values = json.loads(text)
  assert values["machine"]["threads"] >= 1
  assert values["machine"]["jax"]
  table = [line for line in done.stdout.splitlines() if line.startswith("| ")]
  assert len(table) == 2 + len(values["results"])
  assert not any("error" in row for row in values["results"])
  return values["results"]


def shapes_of(network: HDNet) -> dict:
  """Of its parameters."""
  image, mask = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))
  return jax.eval_shape(network.init, jax.random.key(0), image, mask)["params"]


@pytest.fixture
def load(monkeypatch):
  """A script as a module; its neighbours can be imported meanwhile."""
  monkeypatch.syspath_prepend(str(FOLDER))
  return importlib.import_module


@pytest.fixture
def stop(load, monkeypatch, capsys):
  """Run a script that ends before it measures: its status and its text."""

  def run(script: str, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
      load(script).main()
    if isinstance(stopped.value.code, str):  # is printed; the status is 1
      return 1, stopped.value.code
    out, err = capsys.readouterr()
    return stopped.value.code, err or out

  return run


@pytest.fixture
def fails(stop):
  """The last line of a script's errors, which is all but for the usage."""

  def run(*arguments) -> str:
    status, text = stop(*arguments)
    assert status
    return text.splitlines()[-1]

  return run
