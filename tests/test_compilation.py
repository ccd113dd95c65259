import jax
import pytest

from hdnet_jax import compilation


@pytest.fixture
def fresh():
  compilation.options.cache_clear()
  yield
  compilation.options.cache_clear()


def test_the_options_of_this_backend_compile(fresh):
  options = compilation.options("cpu")
  double = jax.jit(lambda x: 2 * x, compiler_options=options)
  assert double(3) == 6
  # The installed jaxlib knows it, or times in docs/performance.md are others.
  assert options


def test_an_unknown_option_is_left_out(fresh, monkeypatch):
  monkeypatch.setattr(compilation, "_CPU", {"xla_of_another_version": "1"})
  assert compilation.options("cpu") == {}


def test_the_devices_count_and_not_the_default(fresh, monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert compilation.options("cpu")
  assert compilation.options("gpu") == {}
