"""Whole runs in one process."""

import dataclasses
import errno
import gzip
import json
import logging
import os
import pathlib
import re
import shutil
import signal
import sys
import threading
import time

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax import lock, weights
from hdnet_jax.app.cli import main
from hdnet_jax.config import (
  Config,
  DataConfig,
  MeshConfig,
  TrainingConfig,
  only,
)
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import journal
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.evaluate import (
  evaluate_checkpoint,
  evaluate_predictions,
  evaluate_weights,
)
from hdnet_jax.training.loop import NonFiniteLoss, Stopped, train_and_evaluate
from hdnet_jax.training.restore import restore_params


def rows_of(workdir: pathlib.Path) -> list[dict]:
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def compilations(caplog, name: str) -> int:
  return sum(
    bool(re.match(rf"Finished XLA compilation of jit\({name}\)", message))
    for message in caplog.messages
  )


def test_a_run_leaves_what_it_promises(config, tmp_path, caplog):
  caplog.set_level(logging.INFO, logger="hdnet_jax")
  state = train_and_evaluate(config, tmp_path)
  assert int(state.step) == 7

  assert "ld/fuse/kernel" in caplog.text  # the parameter overview
  assert Config.from_dict(json.loads((tmp_path / "config.json").read_text()))
  rows = rows_of(tmp_path)
  assert [r["step"] for r in rows if "train/loss" in r] == [2, 4, 6, 7]
  assert [r["step"] for r in rows if "validation/psnr" in r] == [4, 7]
  assert [r["step"] for r in rows if "test/psnr" in r] == [7]
  assert list(tmp_path.glob("events.out.tfevents.*"))

  report = json.loads((tmp_path / "evaluation/metrics.json").read_text())
  assert list(report["protocols"]) == ["standard"]
  assert report["split"] == "test"
  assert report["step"] == 7
  assert report["protocols"]["standard"]["count"] == 3
  with Image.open(tmp_path / "evaluation/grid.png") as grid:
    assert grid.width > 4 * 32
  with Checkpoints(tmp_path) as checkpoints:
    best = checkpoints.best()
    assert best in (4, 7)
    assert checkpoints.steps() == sorted({best, 6, 7})


def test_fifty_steps_compile_once(config, tmp_path, caplog):
  # Of no other test's runs, which would share their programs.
  config = dataclasses.replace(
    config, seed=50, min_area=50.0, epochs=40.0, eval_every=20, save_every=20
  )
  # pxla logs each compilation; the persistent cache does not hide it.
  with jax.log_compiles():
    state = train_and_evaluate(config, tmp_path / "first")
  assert int(state.step) == 50
  programs = ("train_step", "eval_step")
  assert [compilations(caplog, name) for name in programs] == [1, 1]

  # A second run of this process, as in a notebook, has them already.
  config = dataclasses.replace(config, epochs=2.0, log_every=1, keep=1)
  with jax.log_compiles():
    train_and_evaluate(config, tmp_path / "second")
  assert [compilations(caplog, name) for name in programs] == [1, 1]


def test_training_lowers_the_loss(config, tmp_path):
  # A change that is much the same for all.
  change = only("expert", moved=0.0, least_amount=0.9)
  config = dataclasses.replace(
    config,
    epochs=80.0,
    log_every=10,
    eval_every=1000,
    save_every=1000,
    data=dataclasses.replace(config.data, composites=change),
  )
  train_and_evaluate(config, tmp_path)
  losses = [r["train/loss"] for r in rows_of(tmp_path) if "train/loss" in r]
  assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow  # test_hosts has eight devices, of two processes
def test_eight_devices_run(config, tmp_path):
  state = train_and_evaluate(config, tmp_path / "one")
  config = dataclasses.replace(config, mesh=MeshConfig())
  eight = train_and_evaluate(config, tmp_path / "eight")
  first, second = (
    [r["train/loss"] for r in rows_of(tmp_path / name) if "train/loss" in r]
    for name in ("one", "eight")
  )
  np.testing.assert_allclose(first, second, rtol=1e-4)
  assert int(state.step) == int(eight.step)


@pytest.mark.slow  # test_step has the mean, test_weights its checkpoint
def test_evaluation_uses_the_running_mean(config, tmp_path):
  config = dataclasses.replace(config, training=TrainingConfig(0.99))
  state = train_and_evaluate(config, tmp_path)
  evaluate_checkpoint(config, tmp_path, "last", tmp_path / "again")
  trained, again = (
    json.loads((tmp_path / name / "metrics.json").read_text())
    for name in ("evaluation", "again")
  )
  assert again == trained
  # The mean is another than the last step's weights, and was saved.
  kernels = [tree["x0"]["kernel"] for tree in (state.params, state.ema)]
  assert (np.asarray(kernels[0]) != np.asarray(kernels[1])).any()
  whole = train_and_evaluate(config, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, state.ema, whole.ema)


def test_a_finished_run_is_used_without_its_trainer(
  finished, tmp_path, monkeypatch
):
  exported = tmp_path / "best.safetensors"
  command = ["export-weights", str(finished), str(exported)]
  main.main([*command, "--checkpoint=best"])
  file = finished / "hdnet.safetensors"
  assert file.read_bytes() == exported.read_bytes()
  shutil.rmtree(finished / "checkpoints")
  monkeypatch.setitem(sys.modules, "hdnet_jax.training.restore", None)
  loaded, written = weights.load(finished), weights.load(exported)
  assert loaded[1:] == written[1:]
  jax.tree.map(np.testing.assert_array_equal, loaded.params, written.params)


def test_a_run_that_trains_on_has_no_weights_of_the_shorter_one(
  config, finished, monkeypatch
):
  def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(os, "posix_fallocate", fail)
  longer = dataclasses.replace(config, epochs=8.0)
  with pytest.raises(UserError, match="No space left"):
    train_and_evaluate(longer, finished)
  assert not (finished / "hdnet.safetensors").exists()
  provenance = weights.load(finished).provenance
  assert (provenance["step"], provenance["checkpoint"]) == ("7", "last")


def test_finished_run_is_only_evaluated_again(config, finished):
  rows = rows_of(finished)
  file = finished / "hdnet.safetensors"
  written = file.read_bytes()
  file.unlink()  # as in workdirs of 0.1
  first, _, _ = restore_params(finished, "last")
  again = train_and_evaluate(config, finished)
  jax.tree.map(np.testing.assert_array_equal, first, again.params)
  steps = [row["step"] for row in rows_of(finished)]
  assert [row["step"] for row in rows] == steps[: len(rows)]
  assert file.read_bytes() == written


def test_diverged_run_stops_and_names_the_last_good_checkpoint(
  config, tmp_path
):
  # Harmless at first; then a step that throws the weights out of float32.
  optimizer = dataclasses.replace(
    config.optimizer, boundaries=(2.4,), decay=1e38
  )
  bad = dataclasses.replace(config, optimizer=optimizer)
  with pytest.raises(NonFiniteLoss, match=r"loss is (nan|inf) at step 5") as e:
    train_and_evaluate(bad, tmp_path)
  assert str(tmp_path / "checkpoints" / "4") in str(e.value)
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps()[-1] == 4  # nothing bad was saved


def test_other_config_is_refused_with_the_difference(config, finished):
  other = dataclasses.replace(config, min_area=50.0, seed=3)
  with pytest.raises(UserError) as error:
    train_and_evaluate(other, finished)
  assert "min_area: 100.0 -> 50.0" in str(error.value)
  assert "seed: 0 -> 3" in str(error.value)


def test_a_stop_is_saved(config, tmp_path):
  """It arrives at any moment, and waits for the end of a step."""
  config = dataclasses.replace(config, epochs=4000.0, eval_every=10**6)

  def ask():
    while not (tmp_path / "metrics.jsonl").exists() or not rows_of(tmp_path):
      time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

  thread = threading.Thread(target=ask, daemon=True)
  thread.start()
  with pytest.raises(Stopped) as stopped:
    train_and_evaluate(config, tmp_path)
  thread.join()
  with Checkpoints(tmp_path, read_only=True) as checkpoints:
    last = checkpoints.steps()[-1]
  assert str(stopped.value).startswith(f"stopped at step {last} of 5000")


def test_a_profile_of_some_steps(config, tmp_path):
  config = dataclasses.replace(config, epochs=3.0, profile_steps=2)
  train_and_evaluate(config, tmp_path)
  (trace,) = (tmp_path / "profile").rglob("*.trace.json.gz")
  events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
  calls, end = 0, 0.0
  for event in events:
    # JAX records a call twice, one within the other.
    if event.get("name") == "PjitFunction(train_step)" and event["ts"] > end:
      calls, end = calls + 1, event["ts"] + event["dur"]
  assert calls == 2


def test_a_workdir_has_one_run_at_a_time(config, finished, tmp_path):
  before = (finished / "metrics.jsonl").read_bytes()
  longer = dataclasses.replace(config, epochs=8.0)
  words = rf"^{finished} is in use by process {os.getpid()} on "
  with lock.locked(finished):
    with pytest.raises(UserError, match=words):
      train_and_evaluate(longer, finished)
    # It may be looked at.
    evaluate_checkpoint(config, finished, "last", tmp_path / "out")
  assert (finished / "metrics.jsonl").read_bytes() == before
  assert "5.0" in (finished / "config.json").read_text()
  with (
    lock.locked(tmp_path / "out"),
    pytest.raises(UserError, match="is in use"),
  ):
    evaluate_checkpoint(config, finished, "last", tmp_path / "out")


def test_missing_data_leaves_no_workdir(tmp_path):
  config = Config(data=DataConfig(source="iharmony4", root=str(tmp_path)))
  with pytest.raises(UserError, match="quickstart"):
    train_and_evaluate(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("which", ["last", "best"])
def test_evaluating_a_checkpoint(config, finished, which):
  evaluate_checkpoint(config, finished, which, finished / "again")
  report = json.loads((finished / "again/metrics.json").read_text())
  with Checkpoints(finished) as checkpoints:
    expected = 7 if which == "last" else checkpoints.best()
  assert report["step"] == expected
  if which == "last":
    trained = json.loads((finished / "evaluation/metrics.json").read_text())
    assert report == trained


def test_evaluating_a_weights_file(config, finished, tmp_path):
  params, _, _ = restore_params(finished, "last")
  file = tmp_path / "tiny.safetensors"
  weights.save(file, params, config.model)
  params, model, _ = weights.load(file)
  protocols, output = ("paper", "standard"), tmp_path / "out"
  rows = evaluate_weights(config, params, model, file.name, output, protocols)
  trained = journal.read(finished / "evaluation/per_image.csv")
  # Programs of other protocols add the terms of SSIM in another order.
  for row, other in zip(rows[1::2], trained, strict=True):
    for name in ("composite_ssim", "harmonized_ssim"):
      assert row.pop(name) == pytest.approx(other.pop(name), abs=1e-7)
    assert row == other
  report = json.loads((output / "metrics.json").read_text())
  assert report["file"] == "tiny.safetensors"
  assert tuple(report["protocols"]) == protocols


def test_evaluations_that_are_refused(config, finished, tmp_path):
  output = tmp_path / "out"
  model = dataclasses.replace(config.model, width=4)
  other = dataclasses.replace(config, model=model)
  with pytest.raises(UserError, match="'photos' has not"):
    evaluate_checkpoint(config, finished, "last", output, ("fullres",))
  with pytest.raises(UserError, match="holds no run"):
    evaluate_checkpoint(config, tmp_path, "last", output)
  with pytest.raises(UserError, match="width=2"):
    evaluate_checkpoint(other, finished, "last", output)
  with pytest.raises(UserError, match="evaluates a network"):
    evaluate_predictions(config, tmp_path, output, ("fullres",))
  with pytest.raises(UserError, match=r"source='photos' has photos alone"):
    evaluate_predictions(config, tmp_path, output)
  assert not output.exists()


def make_iharmony4(root: pathlib.Path, photo_folder: pathlib.Path) -> None:
  """A data set of the published layout from the photos of the fixture."""
  subset, lines = root / "HCOCO", []
  for folder in ("composite_images", "real_images", "masks"):
    (subset / folder).mkdir(parents=True)
  for image in sorted(photo_folder.glob("images/*"))[:13]:
    name = f"composite_images/{image.stem}_1_1.jpg"
    with Image.open(image) as real:
      real.save(subset / f"real_images/{image.stem}.jpg")
      real.point(lambda level: level // 2).save(subset / name)
    mask = photo_folder / "masks" / image.name
    shutil.copy(mask, subset / f"masks/{image.stem}_1.png")
    lines.append(f"HCOCO/{name}\n")
  (root / "IHD_train.txt").write_text("".join(lines[:9]))
  (root / "IHD_test.txt").write_text("".join(lines[9:]))


@pytest.mark.parametrize(
  "source",
  [
    "folder",
    "iharmony4",
    # The gate runs the quickstart.
    pytest.param("embedded", marks=pytest.mark.slow),
  ],
)
def test_other_sources_train_a_step(config, photo_folder, tmp_path, source):
  make_iharmony4(tmp_path, photo_folder)
  if source == "iharmony4":
    root = str(tmp_path)
    main.main(["prepare", "iharmony4", f"--root={root}", "--image-size=native"])
  data = DataConfig(
    source=source,
    root=str(tmp_path),
    image_size=32,
    validation_split="test",
    threads=1,
  )
  config = dataclasses.replace(
    config, data=data, epochs=0.01, batch_size=2, eval_batch_size=16
  )
  state = train_and_evaluate(config, tmp_path / "run")
  assert int(state.step) >= 1
  assert (tmp_path / "run/evaluation/grid.png").exists()
