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


def run(script: str, *flags: str, cwd: pathlib.Path):
  return subprocess.run(
    [sys.executable, str(ROOT / script), *flags],
    cwd=cwd,
    env={**os.environ, "PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    timeout=120,
  )


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
  monkeypatch.chdir(tmp_path)
  command = "evaluate" if "--weights" in flags else "train"
  with pytest.raises(SystemExit) as stopped:
    main([command, *flags.split()])
  assert stopped.value.code == 1
  check_line(capsys.readouterr().err, words, tmp_path)


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
      f"train.py --config={ROOT}/configs/hdnet.py",
      ["--config.data.root", "--config=quickstart"],
    ),
    (
      f"eval.py {QUICKSTART} --workdir=nothing",
      ["nothing holds no run; train one with hdnet train"],
    ),
    (f"eval.py {QUICKSTART} --protocol=papr", ["did you mean 'paper'?"]),
    (
      f"eval.py {QUICKSTART} --weights=no.safetensors",
      ["no.safetensors is no file; write one with"],
    ),
    (
      f"eval.py {QUICKSTART} --predictions=nowhere",
      ["no --predictions can be of those"],
    ),
  ],
)
def test_what_cannot_be_read(command, words, tmp_path):
  script, *flags = command.split()
  result = run(script, *flags, cwd=tmp_path)
  assert result.returncode == 1
  check_line(result.stderr, words, tmp_path)


@pytest.mark.parametrize(
  ("script", "command"),
  [("train.py", "hdnet train"), ("eval.py", "hdnet evaluate")],
)
def test_help_has_examples_and_flags(script, command, tmp_path):
  text = run(script, "--help", cwd=tmp_path).stdout
  for word in (f"{command} --config=quickstart", "--workdir", "--config "):
    assert word in text
