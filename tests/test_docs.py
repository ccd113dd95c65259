"""What the documentation says is so: its commands, settings and messages.

That its links lead somewhere, docs/build.sh tells.
"""

import ast
import pathlib
import re
import shlex
from collections.abc import Iterator

import pytest

from hdnet_jax.app import config_file
from hdnet_jax.app.cli import main

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
  path.relative_to(ROOT).as_posix()
  for pattern in ("*.md", "docs/*.md", "*/README.md", "examples/*/README.md")
  for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(
  r"(?:^|[;|(]|&&|\bdo\b|\bsrun\b)\s*(?:\w+=\S+ +)*"
  r"(?:hdnet|python (train|eval)\.py)\b([^\n&|;<>#]*)",
  re.MULTILINE,
)
SCRIPTS = {"": [], "train": ["train"], "eval": ["evaluate"]}


def read(page: str) -> str:
  return (ROOT / page).read_text()


def blocks(page: str, language: str) -> list[str]:
  return [text for kind, text in BLOCK.findall(read(page)) if kind == language]


def commands(page: str) -> Iterator[list[str]]:
  """Yield the arguments of `hdnet` in blocks, and whole ones in tables."""
  shell = "".join(blocks(page, "sh")).replace("\\\n", " ")
  rows = "\n".join(re.findall(r"^\|.*", read(page), re.MULTILINE))
  inline = [
    code for code in re.findall(r"`(.+?)`", rows) if len(code.split()) > 2
  ]
  for script, text in COMMAND.findall("\n".join([shell, *inline])):
    if text.count('"') % 2:  # the end of a script in quotes
      text = text.rstrip().removesuffix('"')
    values = re.sub(r"\$\{?\w+\}?", "1", text)
    yield [*SCRIPTS[script], *shlex.split(values)]


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_settings_exist(page, monkeypatch):
  monkeypatch.chdir(ROOT)
  for arguments in commands(page):
    if arguments == ["--version"]:
      continue
    options = main.parse(arguments)
    config = getattr(options, "config", None)
    if config is None:
      continue
    if rows := getattr(
      config_file.load_module(config.split(":")[0]), "ROWS", 0
    ):
      config = f"{config.split(':')[0]}:{next(iter(rows))}"
    config_file.load_config(config, options.overrides)


def test_commands_are_found():
  assert [*commands("docs/first_picture.md")][:2] == [
    ["harmonize", "composite.jpg", "mask.png"],
    ["harmonize", "composite.jpg", "mask.png"],
  ]
  found = [arguments[0] for arguments in commands("docs/scaling.md")]
  assert {"train", "prepare"} <= set(found)


@pytest.mark.parametrize("page", [p for p in PAGES if p.startswith("docs/")])
def test_pages_begin_with_a_command(page):
  title, _, text = read(page).partition("\n\n")
  assert title.startswith("# ")
  assert text.startswith("```sh\n")


def test_messages_are_those_of_the_program():
  texts = {
    node.value
    for path in (ROOT / "hdnet_jax").rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
  }
  said = "\n".join(texts)
  messages = "".join(blocks("docs/troubleshooting.md", "text")).splitlines()
  assert len(messages) > 30
  for message in messages:
    parts = [part.strip(" ") for part in message.split("…")]
    assert [part for part in parts if part not in said] == []


def test_readme_is_short():
  assert len(read("README.md").splitlines()) <= 150
