"""What train.py and eval.py say to mistakes: one line, status 1, no file."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
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
    ([], ["--config=configs/quickstart.py"]),
    (["--config=nowhere.py"], ["nowhere.py", "configs/quickstart.py"]),
    ([QUICKSTART, "--config.bach_size=4"], ["bach_size", '"batch_size"']),
    ([QUICKSTART, "--config.data.rot=x"], ["rot", '"root"']),
    ([QUICKSTART, "--config.batch_size=many"], ["batch_size", "many"]),
    ([QUICKSTART, "--config.batch_size=0"], ["batch_size", "above 0"]),
    (
      [QUICKSTART, "--config.model.local_dynamics=papr"],
      ["local_dynamics", "paper, official, none"],
    ),
    ([QUICKSTART, "surplus"], ["surplus"]),
    ([QUICKSTART, "--wrkdir=x"], ["wrkdir"]),
  ],
)
def test_mistakes_in_flags(flags, words, tmp_path):
  result = run("train.py", *flags, cwd=tmp_path)
  assert result.returncode == 1
  assert result.stderr.startswith("error: ")
  assert len(result.stderr.splitlines()) == 1
  for word in words:
    assert word in result.stderr
  assert not list(tmp_path.iterdir())


def test_iharmony4_without_data_says_what_to_do(tmp_path):
  result = run("train.py", f"--config={ROOT}/configs/hdnet.py", cwd=tmp_path)
  assert result.returncode == 1
  assert len(result.stderr.splitlines()) == 1
  assert "--config.data.root" in result.stderr
  assert "configs/quickstart.py" in result.stderr
  assert not list(tmp_path.iterdir())


def test_evaluating_without_a_run(tmp_path):
  result = run("eval.py", QUICKSTART, "--workdir=nothing", cwd=tmp_path)
  assert result.returncode == 1
  assert (
    result.stderr == "error: nothing holds no run; train one with train.py\n"
  )
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    (["--weights=a", "--predictions=b"], "one of --weights and --predictions"),
    (["--protocol=papr"], "did you mean 'paper'?"),
    (["--weights=no.safetensors"], "no.safetensors is no file; write one with"),
    (["--predictions=nowhere"], "no --predictions can be of those"),
  ],
)
def test_mistakes_in_an_evaluation(flags, words, tmp_path):
  result = run("eval.py", QUICKSTART, *flags, cwd=tmp_path)
  assert result.returncode == 1
  assert len(result.stderr.splitlines()) == 1
  assert words in result.stderr
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_help_has_examples_and_flags(script, tmp_path):
  text = run(script, "--help", cwd=tmp_path).stdout
  assert f"python {script} --config=configs/" in text
  assert "--workdir" in text
  assert "--config:" in text
