"""The one exception that a user's mistake raises.

Entry points print its message as one line and exit with status 1; anything
else is a defect of ours and keeps its traceback.
"""


class UserError(ValueError):
  """Says what is wrong and what to do about it."""
