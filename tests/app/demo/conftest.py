"""The page served by a process of its own."""

import importlib.util
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest


class Server:
  """`hdnet demo` in a process; its temporary files and output in a folder."""

  def __init__(self, folder: pathlib.Path, *flags: str | pathlib.Path):
    self._log = folder / "log.txt"
    self.temporary = folder / "temporary"
    self.temporary.mkdir()
    environment = {
      **os.environ,
      "TMPDIR": str(self.temporary),
      "JAX_NUM_CPU_DEVICES": "1",
    }
    command = [sys.executable, "-m", "hdnet_jax.app.cli.main", "demo"]
    with self._log.open("w") as log:
      self._process = subprocess.Popen(
        [*command, "--port", _free_port(), *flags],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
      )

  def wait(self) -> str:
    """The page's address, once it can be opened."""
    while not (found := re.search(r"http://\S+", self.said())):
      assert self._process.poll() is None, self.said()
      time.sleep(0.1)
    return found[0]

  def said(self) -> str:
    return self._log.read_text()

  def resident(self) -> int:
    """Bytes of memory that the process has."""
    status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])

  def stop(self) -> int:
    """Its exit status."""
    if self._process.poll() is None:
      self._process.send_signal(signal.SIGTERM)
    try:
      return self._process.wait(60)
    except subprocess.TimeoutExpired:
      self._process.kill()
      return self._process.wait()


def _free_port() -> str:
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(network, tmp_path_factory) -> Iterator[Server]:
  if importlib.util.find_spec("gradio") is None:
    pytest.skip("needs Gradio: pip install '.[demo]'")
  flags = "--weights", network, "--max-megapixels", "1", "--max-megabytes", "2"
  server = Server(tmp_path_factory.mktemp("demo"), *flags)
  try:
    server.wait()
    yield server
  finally:
    server.stop()
