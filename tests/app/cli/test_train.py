"""`hdnet train` and `evaluate`, and train.py and eval.py, which are the same.

Of mistakes they say one line, with status 1, and write no file.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from hdnet_jax.app.cli.main import main

ROOT = pathlib.Path(__file__).parents[3]
QUICKSTART = f"--config={ROOT}/configs/quickstart.py"


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ("", ["--config=quickstart"]),
    ("--config=nowhere.py", ["nowhere.py is no config", "quickstart"]),
    (f"{QUICKSTART} --config.bach_size=4", ["bach_size", '"batch_size"']),
    (f"{QUICKSTART} --config.data.rot=x", ["rot", '"root"']),
    (f"{QUICKSTART} --config.batch_size=many", ["batch_size", "many"]),
    (f"{QUICKSTART} --config.batch_size=0", ["batch_size", "above 0"]),
    (
      f"{QUICKSTART} --config.model.local_dynamics=papr",
      ["local_dynamics", "paper, official, none"],
    ),
    ("--config=quikstart", ["quikstart is no config", "quickstart"]),
    (f"--config={ROOT}/configs/ablation.py:hdnt", ["hdnt", "rows are base"]),
    ("--config=ablation:hdnt", ["hdnt", "rows are base"]),
    (f"{QUICKSTART}:row", ["takes no argument; leave out :row"]),
    (f"{QUICKSTART} surplus", ["surplus"]),
    (f"{QUICKSTART} --wrkdir=x", ["wrkdir"]),
    (
      f"{QUICKSTART} --weights=a --predictions=b",
      ["one of --weights and --predictions"],
    ),
  ],
)
def test_mistakes_in_flags(flags, words, tmp_path, monkeypatch, capsys):
  command = "evaluate" if "--weights" in flags else "train"
  check_mistake(f"{command} {flags}", words, tmp_path, monkeypatch, capsys)


def check_mistake(command, words, folder, monkeypatch, capsys) -> None:
  monkeypatch.chdir(folder)
  with pytest.raises(SystemExit) as stopped:
    main(command.split())
  assert stopped.value.code == 1
  check_line(capsys.readouterr().err, words, folder)


def check_line(error: str, words, folder: pathlib.Path) -> None:
  assert error.startswith("error: ")
  assert len(error.splitlines()) == 1
  for word in words:
    assert word in error
  assert not list(folder.iterdir())


@pytest.mark.parametrize(
  ("command", "words"),
  [
    (
      f"train --config={ROOT}/configs/hdnet.py",
      ["--config.data.root", "--config=quickstart"],
    ),
    (
      f"evaluate {QUICKSTART} --workdir=nothing",
      ["nothing holds no run; train one with hdnet train"],
    ),
    (f"evaluate {QUICKSTART} --protocol=papr", ["did you mean 'paper'?"]),
    (
      f"evaluate {QUICKSTART} --weights=no.safetensors",
      ["no.safetensors is no file; write one with"],
    ),
    (
      f"evaluate {QUICKSTART} --predictions=nowhere",
      ["no --predictions can be of those"],
    ),
  ],
)
def test_what_cannot_be_read(command, words, tmp_path, monkeypatch, capsys):
  check_mistake(command, words, tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
  ("script", "words"),
  [
    ("train.py", ["--config=quickstart"]),
    ("eval.py", ["nothing holds no run"]),
  ],
)
def test_the_scripts_are_the_commands(script, words, tmp_path):
  flags = [] if script == "train.py" else [QUICKSTART, "--workdir=nothing"]
  result = subprocess.run(
    [sys.executable, str(ROOT / script), *flags],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert result.returncode == 1
  check_line(result.stderr, words, tmp_path)


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_has_examples_and_flags(command, capsys):
  with pytest.raises(SystemExit) as stopped:
    main([command, "--help"])
  assert stopped.value.code == 0
  text = capsys.readouterr().out
  for word in (
    f"hdnet {command} --config=quickstart",
    "--workdir",
    "--config ",
  ):
    assert word in text
