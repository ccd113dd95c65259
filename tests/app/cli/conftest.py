"""The command `hdnet`, run in this process."""

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
