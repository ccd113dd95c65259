"""What is printed: names, tables and progress, on any terminal or pipe.

Rich is imported on use: `hdnet --help` does without it.
"""

import codecs
import dataclasses
import io
import sys
from collections.abc import Iterable

LOG_WIDTH = 160  # least columns where the output is no terminal
_ESCAPED_BYTES = range(0xDC80, 0xDD00)  # for undecodable bytes


def prepare_stdout() -> None:
  """Let standard output print every file name.

  Undecodable bytes of a name are written as they are, for programs that read
  them. Characters that the encoding lacks are escaped. Standard error escapes
  both by default.
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
  """Return the text in one line: escape what is not printable."""
  return "".join(
    character
    if character.isprintable()
    else character.encode("ascii", "backslashreplace").decode()
    if ord(character) > 127
    else repr(character)[1:-1]
    for character in text
  )


def tell(text: object) -> None:
  """Print a line on standard error."""
  print(line(str(text)), file=sys.stderr)


def make_console(stderr: bool = False):
  """Return a `rich.console.Console` that takes no name for markup."""
  from rich.console import Console

  console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
  if not console.is_terminal:
    console.width = max(console.width, LOG_WIDTH)
  return console


@dataclasses.dataclass(frozen=True)
class Table:
  """A table of text, for the terminal and for a markdown file.

  A row whose first cell is empty belongs to the group of the row above. A cell
  may have two lines. Columns not numbered in `left` are aligned right.
  """

  header: tuple[str, ...]
  rows: tuple[tuple[str, ...], ...]
  title: str = ""
  notes: tuple[str, ...] = ()
  left: tuple[int, ...] = (0, 2)

  def rich(self):
    """Return the table as a `rich.table.Table`."""
    import rich.table
    from rich.text import Text  # brackets in it are no markup

    table = rich.table.Table(
      title=Text(self.title) if self.title else None,
      caption=Text("\n".join(self.notes)) if self.notes else None,
    )
    for column, name in enumerate(self.header):
      is_left = column in self.left
      widest = max((len(row[column]) for row in self.rows), default=0)
      table.add_column(
        Text(name),
        justify="left" if is_left else "right",
        overflow="fold",
        min_width=min(widest, 10) if is_left else None,
      )
    for row, below in zip(self.rows, (*self.rows[1:], None), strict=True):
      last_of_group = below is None or below[0] != ""
      table.add_row(*map(Text, row), end_section=last_of_group)
    return table

  def markdown(self) -> str:
    """Return the lines of a markdown file, without the last line break."""
    columns = range(len(self.header))
    lines = [
      _markdown_row(self.header),
      _markdown_row("---" if i in self.left else "---:" for i in columns),
      *map(_markdown_row, self.rows),
    ]
    title = [f"### {self.title}"] if self.title else []
    return "\n\n".join([*title, "\n".join(lines), *self.notes])


def _markdown_row(cells: Iterable[str]) -> str:
  cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
  return "| " + " | ".join(cells) + " |"


def print_tables(tables: Iterable[Table], stderr: bool = False) -> None:
  """Print tables as wide as the terminal, or `LOG_WIDTH` wide in a log."""
  console = make_console(stderr)
  for table in tables:
    console.print(table.rich())


class ProgressBar:
  """A progress bar on standard error; use it as a context manager.

  Args:
    description: what is being done.
    total: how many images, frames or steps there are.
    done: how many of them are done at the start.
    hidden: whether to show no bar.
  """

  def __init__(
    self, description: str, total: int, done: int = 0, hidden: bool = False
  ):
    from rich import progress

    self.console = make_console(stderr=True)
    self._progress = progress.Progress(
      progress.TextColumn("{task.description}"),
      progress.BarColumn(),
      progress.MofNCompleteColumn(),
      progress.TextColumn("{task.fields[note]}", markup=False),
      progress.TimeRemainingColumn(),
      console=self.console,
      disable=hidden,
    )
    self._task = self._progress.add_task(
      description, total=total, completed=done, note=""
    )

  def __enter__(self) -> "ProgressBar":
    self._progress.start()
    return self

  def __exit__(self, *_) -> None:
    self._progress.stop()

  def advance(self, count: int = 1) -> None:
    """Move the bar by `count`."""
    self._progress.advance(self._task, count)

  def update(self, done: int) -> None:
    """Move the bar to `done`."""
    self._progress.update(self._task, completed=done)

  def note(self, text: str) -> None:
    """Show `text` beside the bar."""
    self._progress.update(self._task, note=text)

  def print(self, text: str) -> None:
    """Print a line above the bar."""
    self.console.print(text, soft_wrap=True)
