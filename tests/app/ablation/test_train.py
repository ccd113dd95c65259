"""Arguments, and rows that are trained."""

import json
import os
import pathlib
import re
import signal
import threading

import pytest
from PIL import Image

from hdnet_jax.app import ablation
from hdnet_jax.app.config_file import split_overrides
from hdnet_jax.config import ModelConfig
from hdnet_jax.data.photos import split_of
from hdnet_jax.errors import UserError

from .runs import ROOT, ROWS, call, draw


def test_overrides_are_in_every_row(config_file):
  overrides = [
    "--config.batch_size=2",
    "--config.data.root=some where",
    "--config.optimizer.boundaries=(1.,2.)",
    "--config.model.remat=true",
  ]
  jobs = ablation.make_jobs(
    pathlib.Path("runs"), config_file, ["base", "hdnet"], [0, 2], overrides
  )
  assert [(job.row, job.seed, str(job.folder)) for job in jobs] == [
    ("base", 0, "runs/base"),
    ("hdnet", 0, "runs/hdnet"),
    ("base", 2, "runs/base_seed2"),
    ("hdnet", 2, "runs/hdnet_seed2"),
  ]
  for job in jobs:
    assert job.config.batch_size == 2
    assert job.config.data.root == "some where"
    assert job.config.optimizer.boundaries == (1, 2)
    assert job.config.model == ModelConfig(2, **ROWS[job.row], remat=True)
    assert job.config.seed == job.seed


@pytest.mark.parametrize(
  ("override", "words"),
  [
    ("--config.bach_size=4", 'no such setting: .*"batch_size"'),
    ("--config.data.rot=x", '"root"'),
    ("--config.batch_size=many", "batch_size.*many"),
    ("--config.batch_size=0", "config.batch_size must be above 0"),
    ("--config.seed=1", "--seeds"),
    ("--config.model.local_dynamics=none", "what the rows differ in"),
    ("--config.model.neighbors=3", "what the rows differ in"),
    ("--config.distributed=true", "hdnet train, then draw with --no-train"),
  ],
)
def test_mistakes_in_overrides_are_one_line(config_file, override, words):
  with pytest.raises(UserError, match=words) as caught:
    call("--workdir", "runs", "--config", config_file, override)
  assert len(str(caught.value).splitlines()) == 1


def test_overrides_stand_anywhere_and_with_a_space():
  arguments = [
    *("--config.a=1", "--rows", "x", "--config.b", "-2", "--config", "f"),
    *("--config.c", "--no-train"),
  ]
  assert split_overrides(arguments) == (
    ["--config.a=1", "--config.b=-2", "--config.c"],
    ["--rows", "x", "--config", "f", "--no-train"],
  )


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--rows", "nothing"], "no row 'nothing'; the rows are base, hdnet, k3"),
    (["--baseline", "no"], "--baseline no is not one of base, hdnet, k3"),
    (["--seeds", "-1"], "--seeds are 0 or more, not -1"),
    (["--no-train"], "no finished row of base, hdnet, k3"),
    (["--no-train", "--config.epochs=1"], "leave out --config.epochs=1"),
    (["--config", "no.py"], "no.py is no config"),
    (["--config", str(ROOT / "configs/hdnet.py")], "has no ROWS"),
  ],
)
def test_other_mistakes(config_file, tmp_path, arguments, words):
  with pytest.raises(UserError, match=re.escape(words)):
    call("--config", config_file, "--workdir", tmp_path / "runs", *arguments)
  assert not (tmp_path / "runs").exists()


def test_unknown_options_are_refused():
  with pytest.raises(UserError, match="unexpected argument '--wrong'"):
    call("--workdir", "runs", "--wrong")


def test_another_configs_run_is_found_before_training(config_file, workdir):
  said = []
  with pytest.raises(UserError, match=r"(?s)k3 .*epochs: 6.0 -> 9.0"):
    ablation.train_rows(
      ablation.make_jobs(
        workdir, config_file, ["k3"], [0], ["--config.epochs=9.0"]
      ),
      said.append,
    )
  assert said == []


@pytest.fixture
def photo_folder(tmp_path) -> pathlib.Path:
  """Photos of one colour with a square as object: 4 train, 2 of the others."""
  root = tmp_path / "photos"
  (root / "images").mkdir(parents=True)
  (root / "masks").mkdir()
  missing, lines = {"train": 4, "validation": 2, "test": 2}, ["image,mask"]
  for number in range(200):
    image, mask = f"images/p{number}.png", f"masks/p{number}.png"
    split = split_of(image)
    if not missing[split]:
      continue
    missing[split] -= 1
    colour = (50 + number, 100, 200 - number)
    Image.new("RGB", (40, 40), colour).save(root / image)
    region = Image.new("L", (40, 40))
    region.paste(255, (10, 10, 28, 26))
    region.save(root / mask)
    lines.append(f"{image},{mask}")
  assert not any(missing.values())
  (root / "manifest.csv").write_text("\n".join(lines) + "\n")
  return root


def arguments_of(workdir, config_file, photo_folder, *more) -> list:
  return [
    *("--workdir", workdir, "--config", config_file, "--rows", "base", "hdnet"),
    *(f"--config.data.root={photo_folder}", *more),
  ]


def test_finished_rows_are_not_trained(workdir, config_file):
  said = []
  jobs = ablation.make_jobs(workdir, config_file, ["k3", "base"], [0], [])
  assert ablation.train_rows(jobs, said.append) == []
  assert said == [
    f"row 1 of 2: k3, seed 0, is finished in {workdir / 'k3'}",
    f"row 2 of 2: base, seed 0, is finished in {workdir / 'base'}",
  ]


@pytest.mark.slow
def test_rows_train_and_continue(config_file, photo_folder, tmp_path, capsys):
  workdir = tmp_path / "runs"
  arguments = arguments_of(
    workdir, config_file, photo_folder, "--config.epochs=3"
  )
  call(*arguments)
  output = capsys.readouterr().out
  assert f"row 1 of 2: base, seed 0, trains in {workdir / 'base'}" in output
  assert f"row 2 of 2: hdnet, seed 0, trains in {workdir}/hdnet" in output
  report = json.loads((workdir / "ablation.json").read_text())
  assert [row["row"] for row in report["rows"]] == ["base", "hdnet"]
  assert report["rows"][0]["steps"] == report["rows"][1]["steps"] == 3
  assert report["images"] == 2

  # Finished rows are not trained again, and not written to.
  before = (workdir / "hdnet" / "metrics.jsonl").stat().st_mtime_ns
  call(*arguments)
  output = capsys.readouterr().out
  assert f"row 2 of 2: hdnet, seed 0, is finished in {workdir}" in output
  assert "trains" not in output
  assert (workdir / "hdnet" / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_stop_leaves_the_rest_for_the_same_command(
  config_file, photo_folder, tmp_path, capsys
):
  workdir = tmp_path / "runs"
  log = workdir / "base" / "metrics.jsonl"
  done = threading.Event()

  def stop_after_a_step():
    while not done.wait(0.01):
      if log.is_file() and "train/loss" in log.read_text():
        os.kill(os.getpid(), signal.SIGTERM)
        return

  arguments = arguments_of(
    workdir, config_file, photo_folder, "--config.epochs=1000"
  )
  thread = threading.Thread(target=stop_after_a_step)
  thread.start()
  try:
    call(*arguments)
  finally:
    done.set()
    thread.join()
  output = capsys.readouterr().out
  assert "the same command continues it" in output
  assert "row 2" not in output
  assert not (workdir / "hdnet").exists()
  assert not (workdir / "ablation.md").exists()
  with pytest.raises(UserError, match="no finished row"):
    draw(workdir, config_file)
