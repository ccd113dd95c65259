"""A harmonizer of a small random network, in both modes, in JAX."""

import pathlib

import pytest

from hdnet_jax import Harmonizer


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
