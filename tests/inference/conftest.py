"""A harmonizer of a small random network, in both modes, in JAX; its input."""

import pathlib

import numpy as np
import pytest

from hdnet_jax import Harmonizer


def photo(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def middle(height: int = 24, width: int = 32) -> np.ndarray:
  """bool [H, W]."""
  mask = np.zeros((height, width), bool)
  mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
  return mask


@pytest.fixture(scope="session")
def harmonizers(network: pathlib.Path) -> dict[str, Harmonizer]:
  return {
    mode: Harmonizer.from_pretrained(network, mode, engine="jax")
    for mode in ("guided", "direct")
  }


@pytest.fixture
def guided(harmonizers) -> Harmonizer:
  return harmonizers["guided"]


@pytest.fixture
def direct(harmonizers) -> Harmonizer:
  return harmonizers["direct"]


@pytest.fixture(params=["guided", "direct"])
def harmonizer(request, harmonizers) -> Harmonizer:
  return harmonizers[request.param]
