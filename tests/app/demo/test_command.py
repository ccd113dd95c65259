"""What `hdnet demo` refuses before it serves anything."""

import importlib.util
import socket

import pytest

from hdnet_jax.app.cli.main import parse
from hdnet_jax.errors import UserError


def run(*flags: str) -> None:
  options = parse(["demo", *flags])
  options.run(options)


@pytest.fixture
def gradio(monkeypatch):
  """As if it were there."""
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.parametrize(
  "name", ["max-megapixels", "max-megabytes", "concurrency", "queue"]
)
def test_limits(name):
  with pytest.raises(UserError, match=f"--{name} is 1 or more, not 0"):
    run(f"--{name}", "0")


def test_without_gradio(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r'pip install "\.\[demo\]"'):
    run()


@pytest.mark.usefixtures("gradio")
def test_the_address():
  with pytest.raises(UserError, match="--port is 1 to 65535, not 99999"):
    run("--port", "99999")
  with socket.socket() as other:
    other.bind(("127.0.0.1", 0))
    other.listen()
    port = str(other.getsockname()[1])
    with pytest.raises(UserError, match=f"port {port} is in use already"):
      run("--port", port)
  # An address kept for documentation: no machine has it.
  with pytest.raises(UserError, match=r"cannot be served at --host 192\.0\.2"):
    run("--host", "192.0.2.1")
