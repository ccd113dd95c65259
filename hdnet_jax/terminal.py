"""What is printed: any name that a file may have, on any terminal or pipe."""

import codecs
import io
import sys

_ESCAPED_BYTES = range(0xDC80, 0xDD00)  # what stands for bytes that are no text


def prepare_stdout() -> None:
  """Lets standard output take every name.

  Bytes of a name that are no text are written as they are, for programs that
  read them; characters that the encoding lacks become escapes. Standard error
  has escapes for both by itself.
  """
  codecs.register_error("names", _encoded)
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="names")


def _encoded(error: UnicodeError) -> tuple[bytes, int]:
  if not isinstance(error, UnicodeEncodeError):
    raise error
  return b"".join(
    bytes([ord(character) - 0xDC00])
    if ord(character) in _ESCAPED_BYTES
    else character.encode("ascii", "backslashreplace")
    for character in error.object[error.start : error.end]
  ), error.end


def line(text: str) -> str:
  """The text in a line: line breaks, and what moves a cursor, are escaped."""
  return "".join(
    character
    if character.isprintable()
    else character.encode("ascii", "backslashreplace").decode()
    if ord(character) > 127
    else repr(character)[1:-1]
    for character in text
  )


def tell(text: object) -> None:
  """Prints a line on standard error."""
  print(line(str(text)), file=sys.stderr)
