"""Pillow's errors told from our own."""

import traceback

# Libraries that read images: Pillow, and one that gives it a format.
_READERS = {"PIL", "pillow_heif"}


def is_of_pillow(error: BaseException) -> bool:
  """Whether an error was raised inside of Pillow, or in what it called.

  Of damaged files Pillow raises errors of any type, AttributeError and
  AssertionError among them. The same from our own code are defects of ours.
  """
  return any(
    frame.f_globals.get("__name__", "").partition(".")[0] in _READERS
    for frame, _ in traceback.walk_tb(error.__traceback__)
  )
