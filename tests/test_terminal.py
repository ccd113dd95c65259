"""Names on a terminal or in a pipe."""

import io
import os
import sys

import pytest

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
