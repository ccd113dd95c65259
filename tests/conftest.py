"""Eight fake CPU devices, a persistent compilation cache, shared inputs."""

import os
import pathlib

CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "jax"

# Before jax is imported. Subprocesses inherit both.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

SHARED = pathlib.Path(__file__).parents[2] / "shared"


@pytest.fixture
def rng() -> np.random.Generator:
  return np.random.default_rng(0)


@pytest.fixture(scope="module")
def unoptimized():
  """Compiles in a fraction of the time, for modules that ask for it."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def shared() -> pathlib.Path:
  """The folder beside the checkout with the reference files and photos."""
  if not SHARED.is_dir():
    pytest.skip("needs ../shared, which is not part of the project")
  return SHARED
