"""The weights that the package brings along do what their card says."""

import dataclasses
import importlib.util
import pathlib

import numpy as np

from hdnet_jax import weights
from hdnet_jax.config import UNSEEN, Config, MeshConfig, only
from hdnet_jax.training.evaluate import evaluate_weights

CONFIG = pathlib.Path(__file__).parents[1] / "configs" / "held_out.py"


def test_they_mend_what_they_were_not_trained_on(tmp_path):
  spec = importlib.util.spec_from_file_location("held_out", CONFIG)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  config = Config.from_dict(module.get_config().to_dict())
  assert config.data.evaluation_composites == UNSEEN
  # Smaller than they were trained at, for time. Objects in their place: moved
  # ones they do not mend.
  data = dataclasses.replace(
    config.data,
    image_size=64,
    test_split="validation",
    evaluation_composites=only("distribution", moved=0.0),
  )
  config = dataclasses.replace(config, data=data, mesh=MeshConfig(data=1))
  params, model, _ = weights.load("hdnet-lite")
  rows = evaluate_weights(config, params, model, "lite", tmp_path)
  gain = [row["harmonized_psnr"] - row["composite_psnr"] for row in rows]
  assert len(gain) >= 20
  assert np.mean(gain) > 0.5
  assert np.mean(np.array(gain) > 0) > 0.6
