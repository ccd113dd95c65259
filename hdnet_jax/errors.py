"""The one exception that a user's mistake raises, and a hint for its words.

Entry points print its message as one line and exit with status 1; anything
else is a defect of ours and keeps its traceback.
"""

import difflib


class UserError(ValueError):
  """Says what is wrong and what to do about it."""


def nearest_name(name: str, valid: list[str]) -> str:
  """A hint for an error message: the valid name most like `name`."""
  close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
  if close:
    return f"did you mean {close[0]!r}?"
  return "valid names: " + ", ".join(sorted(valid))
