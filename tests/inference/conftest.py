"""A harmonizer of a small random network, in both modes, in JAX; its input."""

import pathlib

import numpy as np
import pytest

from hdnet_jax import Harmonizer

WHITE = {"uint8": 255, "uint16": 65535, "float32": 1, "float64": 1}


def photo(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (height, width, 3), np.uint8)


def middle(height: int = 24, width: int = 32) -> np.ndarray:
  """bool [H, W]."""
  mask = np.zeros((height, width), bool)
  mask[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
  return mask


def soft(height: int = 24, width: int = 32) -> np.ndarray:
  """float32 [H, W]: 1 in the middle, down to 0 at the edge of a disc."""
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  return np.clip(2 - 2.5 * np.hypot(y, x), 0, 1).astype(np.float32)


def in_depth(image: np.ndarray, dtype: str) -> np.ndarray:
  """A uint8 image in another depth, with digits that uint8 has not."""
  noise = np.random.default_rng(5).uniform(0, 1, image.shape)
  exact = (image + noise) / 256 * WHITE[dtype]
  return (np.rint(exact) if WHITE[dtype] > 1 else exact).astype(dtype)


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
