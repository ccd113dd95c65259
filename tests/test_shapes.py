"""A training step and an evaluation have the shapes of the signatures.

beartype checks jaxtyping's signatures while both are traced. A process of its
own does it, since the checks are added at import.
"""

import subprocess
import sys

PROGRAM = """
import jax
import jax.numpy as jnp
from jaxtyping import TypeCheckError, install_import_hook

names = ["model", "composites", "training.loss", "evaluation.metrics",
         "evaluation.protocols"]
modules = ["hdnet_jax." + name for name in names]
with install_import_hook(modules, "beartype.beartype"):
  from hdnet_jax import devices
  from hdnet_jax.config import (
    CompositesConfig, Config, DataConfig, ModelConfig)
  from hdnet_jax.evaluation.evaluator import make_eval_step, network
  from hdnet_jax.training.loss import foreground_loss
  from hdnet_jax.training.state import (
    abstract_state, initial_state, make_model, make_optimizer)
  from hdnet_jax.training.step import make_train_step

def pixels(channels):
  return jax.ShapeDtypeStruct((2, 16, 24, channels), jnp.uint8)

def check(model):
  config = Config(
    batch_size=2, model=model,
    data=DataConfig(composites=CompositesConfig(jpeg=0.5)))
  mesh = devices.make_mesh(config.mesh, jax.devices()[:1])
  optimizer = make_optimizer(config.optimizer, 1.0)
  state = abstract_state(lambda: initial_state(config, optimizer), mesh)
  batch = {
    "background": pixels(3), "object": pixels(3), "alpha": pixels(1),
    "index": jax.ShapeDtypeStruct((2,), jnp.int32)}
  _, measures = jax.eval_shape(
    make_train_step(config, optimizer, mesh), state, batch)
  assert measures["loss"].shape == ()
  batch |= {"donor_object": pixels(3), "donor_alpha": pixels(1)}
  outputs = jax.eval_shape(
    make_eval_step(
      config, network(model), mesh, ("standard", "paper")),
    state.params, batch)
  assert outputs["pictures"]["harmonized"].shape == (2, 16, 24, 3)

check(ModelConfig(2, "paper", 3, "mask", "bfloat16"))
check(ModelConfig(2, "official", 1, "learned_mask"))

image, mask = jnp.zeros((2, 8, 8, 3)), jnp.zeros((2, 8, 8, 3))
try:
  foreground_loss(image, image, mask)
except TypeCheckError:
  print("checked")
"""


def test_signatures_say_the_truth():
  result = subprocess.run(
    [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300
  )
  assert result.stdout.split() == ["checked"], result.stderr
