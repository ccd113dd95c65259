"""What the page says where work fails."""

import logging
from collections.abc import Callable

from hdnet_jax.errors import UserError

logger = logging.getLogger(__name__)


def answered(function: Callable, told: Callable[[str], Exception]) -> Callable:
  """The function, whose failures become what the page can show.

  Of mistakes it is their line. Of defects it is that there is one: what it is
  goes to the terminal.

  Args:
    function: of positional arguments.
    told: makes the exception that is raised, of a line.
  """

  def answer(*values):
    try:
      return function(*values)
    except UserError as error:
      raise told(str(error)) from None
    except Exception:
      logger.exception("the web page could not do its work")
      raise told(
        "Something went wrong here that should not; the terminal of hdnet demo "
        "says more."
      ) from None

  return answer
