"""The command `hdnet`, run in this process."""

import logging

import absl.logging
import pytest

from hdnet_jax.app.cli import main


@pytest.fixture
def hdnet(network):
  """Runs the command; `status` is 0 where it ends well."""

  def run(*arguments, given=network, status=0, command="harmonize"):
    words = [command, *map(str, arguments)]
    if given:
      words += ["--weights", str(given)]
    if not status:
      main.main(words)
      return
    with pytest.raises(SystemExit) as stopped:
      main.main(words)
    assert stopped.value.code == status

  return run


@pytest.fixture(autouse=True)
def restored_logging():
  """Undo what `hdnet train` and `hdnet evaluate` set in this process."""
  names = (None, "absl", "asyncio", "hdnet_jax")
  loggers = [logging.getLogger(name) for name in names]
  before = [(logger.level, logger.handlers[:]) for logger in loggers]
  verbosity = absl.logging.get_verbosity()
  yield
  absl.logging.set_verbosity(verbosity)
  for logger, (level, handlers) in zip(loggers, before, strict=True):
    logger.setLevel(level)
    logger.handlers[:] = handlers
