"""Networks with random parameters, as the authors store them."""

import functools
import pathlib
import runpy

import numpy as np

DATA = pathlib.Path(__file__).parents[2] / "data"


@functools.cache
def script() -> dict:
  return runpy.run_path(str(DATA / "make_reference.py"))


def authors(width: int = 1) -> dict[str, np.ndarray]:
  return script()["make_state_dict"](np.random.default_rng(0), width)


def prefixed(prefix: str, state_dict: dict) -> dict:
  return {f"{prefix}{name}": array for name, array in state_dict.items()}
