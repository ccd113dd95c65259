"""`hdnet export-weights`: a run's weights as a file."""

import argparse
import hashlib
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hdnet_jax
from hdnet_jax import weights
from hdnet_jax.app.cli import export_weights
from hdnet_jax.atomic_write import write_text
from hdnet_jax.config import Config, ModelConfig, TrainingConfig
from hdnet_jax.devices import make_mesh
from hdnet_jax.errors import UserError
from hdnet_jax.training.checkpoint import Checkpoints
from hdnet_jax.training.state import make_optimizer, make_start

TINY = ModelConfig(width=2)


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def assert_equal(first: dict, second: dict) -> None:
  assert jax.tree.structure(first) == jax.tree.structure(second)
  jax.tree.map(np.testing.assert_array_equal, first, second)


def export(*arguments) -> None:
  parser = argparse.ArgumentParser()
  export_weights.add(parser.add_subparsers())
  options = parser.parse_args(["export-weights", *map(str, arguments)])
  options.run(options)


def make_run(workdir: pathlib.Path, ema_decay: float = 0.0) -> dict:
  """A run of two checkpoints, the first of them the best; their states."""
  config = Config(
    name="tiny", model=TINY, training=TrainingConfig(ema_decay=ema_decay)
  )
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1.0)
  start = make_start(
    config, optimizer, make_mesh(config.mesh, jax.devices()[:1])
  )()
  write_text(workdir / "config.json", json.dumps(config.to_dict()))
  states = {}
  with Checkpoints(workdir, keep=2) as checkpoints:
    for step, psnr in ((3, 30.0), (1234, 20.0)):
      states[step] = start.replace(
        step=jnp.int32(step),
        params=jax.tree.map(lambda leaf, step=step: leaf + step, start.params),
      )
      checkpoints.save(states[step], {"psnr": psnr})
  return states


@pytest.mark.parametrize(
  "ema_decay", [pytest.param(0.0, marks=pytest.mark.slow), 0.9]
)
def test_export(ema_decay, tmp_path, capsys):
  states = make_run(tmp_path / "run", ema_decay)
  out = tmp_path / "new/w.safetensors"
  export(tmp_path / "run", out)
  params, model, provenance = weights.load(out)
  state = states[1234]
  assert_equal(params, state.ema if ema_decay else state.params)
  assert model == TINY
  loaded = weights.load(tmp_path / "run")
  assert_equal(loaded.params, params)
  assert loaded[1:] == (model, provenance)
  assert provenance == {
    "run": "tiny",
    "step": "1234",
    "checkpoint": "last",
    "hdnet_jax": hdnet_jax.__version__,
    "data": "embedded",
    "image_size": "256",
  }
  assert str(tmp_path).encode() not in out.read_bytes()
  assert names(out.parent) == ["w.safetensors"]

  text = capsys.readouterr().out
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  digest = hashlib.sha256(out.read_bytes()).hexdigest()
  size = len(out.read_bytes())
  for word in (str(out), "1,234", f"{count:,}", f"{size:,}", digest):
    assert word in text


def test_export_of_the_best_overwriting_and_bfloat16(tmp_path):
  states = make_run(tmp_path / "run")
  out = tmp_path / "w.safetensors"
  out.write_text("old")
  with pytest.raises(UserError, match=r"w\.safetensors exists; .* --force"):
    export(tmp_path / "run", out)
  assert out.read_text() == "old"
  export(tmp_path / "run", out, "--checkpoint=best", "--force")
  params, _, provenance = weights.load(out)
  assert_equal(params, states[3].params)
  assert (provenance["step"], provenance["checkpoint"]) == ("3", "best")
  exact = out.stat().st_size
  export(tmp_path / "run", out, "--dtype=bfloat16", "--force")
  assert out.stat().st_size < 0.6 * exact
  assert names(tmp_path) == ["run", "w.safetensors"]


def test_export_refuses_before_it_writes(tmp_path):
  out = tmp_path / "new/w.safetensors"
  with pytest.raises(UserError, match="holds no run"):
    export(tmp_path / "none", out)
  with pytest.raises(UserError, match="holds no run; train one"):
    weights.load(tmp_path)
  with pytest.raises(UserError, match="must end in"):
    export(tmp_path / "none", tmp_path / "w.npz")
  write_text(tmp_path / "run/config.json", json.dumps(Config().to_dict()))
  with pytest.raises(UserError, match="train longer"):
    export(tmp_path / "run", out)
  assert names(tmp_path) == ["run"]
