"""Names, tables and progress on a terminal or in a pipe."""

import io
import os
import sys

import pytest
from rich.console import Console

from hdnet_jax import terminal

NAME = os.fsdecode(b"caf\xe9 \xc3\xa9")  # Latin-1, then UTF-8


@pytest.mark.parametrize(
  ("encoding", "sent"),
  [("utf-8", b"caf\xe9 \xc3\xa9\n"), ("ascii", rb"caf" b"\xe9 \\xe9\n")],
)
def test_strict_stdout_takes_every_name(monkeypatch, encoding, sent):
  pipe = io.BytesIO()
  stdout = io.TextIOWrapper(pipe, encoding, errors="strict")
  monkeypatch.setattr(sys, "stdout", stdout)
  with pytest.raises(UnicodeEncodeError):
    print(NAME, flush=True)
  terminal.prepare_stdout()
  print(NAME, flush=True)
  assert pipe.getvalue() == sent


def test_a_line_stays_one(capsys):
  terminal.tell("a\nb\r\x1b[31m\u2028 é 日本 \N{SNOWMAN}")
  (line,) = capsys.readouterr().err.splitlines()
  assert line == r"a\nb\r\x1b[31m\u2028 é 日本 ☃"


def test_a_table_in_markdown():
  table = terminal.Table(
    header=("images", "count", "image", "MSE ↓"),
    rows=(("all", "3", "a|b", "1.00\n[0.50, 2.00]"),),
    title="A title",
    notes=("a note", "another"),
  )
  assert table.markdown() == (
    "### A title\n\n"
    "| images | count | image | MSE ↓ |\n"
    "| --- | ---: | --- | ---: |\n"
    "| all | 3 | a\\|b | 1.00 [0.50, 2.00] |\n\n"
    "a note\n\nanother"
  )
  assert terminal.Table(("a",), (("1",),)).markdown() == "| a |\n| --- |\n| 1 |"


@pytest.mark.parametrize("width", [40, 200])
def test_a_narrow_terminal_cuts_nothing(width):
  text = io.StringIO()
  rows = (("[b]first[/b]", "1" * 30), ("", "2"), ("next", "3"))
  table = terminal.Table(("name", "value"), rows, "[i]T", ("a [note]",))
  Console(file=text, width=width).print(table.rich())
  lines = text.getvalue().splitlines()
  assert max(map(len, lines)) <= width
  assert "…" not in text.getvalue()
  assert text.getvalue().count("1") == 30
  for words in ("[i]T", "[b]first[/b]", "a [note]"):
    assert words in text.getvalue()
  # A line between groups, none inside of one.
  assert sum(line.startswith("├") for line in lines) == 1


def test_a_log_is_wide(capsys):
  table = terminal.Table(("name",), (("x" * 140,),))
  terminal.print_tables([table])
  terminal.print_tables([table], stderr=True)
  output = capsys.readouterr()
  assert "x" * 140 in output.out
  assert output.err == output.out


def test_progress_on_standard_error(capsys):
  with terminal.ProgressBar("working", 5, done=1) as bar:
    bar.advance()
    bar.update(4)
    bar.note("[b]a note")
    bar.print("a line [b]")
  text = capsys.readouterr().err
  for words in ("working", "4/5", "[b]a note", "a line [b]"):
    assert words in text
  with terminal.ProgressBar("working", 5, hidden=True) as bar:
    bar.advance()
    bar.print("a line")
  output = capsys.readouterr()
  assert (output.out, output.err) == ("", "a line\n")
