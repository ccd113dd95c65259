"""One optimization step, compiled once."""

import dataclasses
import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hdnet_jax.composites import with_composites
from hdnet_jax.composites.color_map import load_maps
from hdnet_jax.config import Config, DataConfig
from hdnet_jax.devices import Batch, compiler_options, replicated
from hdnet_jax.model.hdnet import apply, blend
from hdnet_jax.model.pixels import normalize
from hdnet_jax.training.loss import foreground_loss
from hdnet_jax.training.state import (
  TrainState,
  make_model,
  update_ema,
  without_schedule,
)

Measures = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Measures]]


def make_train_step(
  config: Config, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainStep:
  """Return the jitted step `(state, batch) -> (state, measures)`.

  The state is donated. Batches are Examples of uint8, or layers; composites are
  made of layers, with random keys from the state's key and step. Measures are
  scalars: `loss`, the mean of Eq. 1 over the batch, and `gradient_norm`.

  Runs of one process that take the same steps share one compilation.
  """
  make = _make_train_step
  if config.data.composites.color_maps:  # a file that may change
    make = make.__wrapped__
  return make(without_schedule(config), optimizer, mesh)


@functools.lru_cache(maxsize=8)
def _make_train_step(
  config: Config, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainStep:
  loss_and_gradients = _make_loss_and_gradients(config)

  def train_step(state: TrainState, batch: Batch):
    loss, gradients = loss_and_gradients(state, batch)
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params
    )
    params = cast(dict, optax.apply_updates(state.params, updates))
    if state.ema is not None:
      decay = config.training.ema_decay
      state = dataclasses.replace(
        state, ema=update_ema(state.ema, params, state.step, decay)
      )
    step = state.step + 1
    state = dataclasses.replace(
      state, step=step, params=params, opt_state=opt_state
    )
    norm = optax.tree.norm(gradients)
    return state, {"loss": loss, "gradient_norm": norm}

  return jax.jit(
    train_step,
    in_shardings=(replicated(mesh), None),  # batches are as `put` split them
    out_shardings=replicated(mesh),
    donate_argnums=0,
    compiler_options=compiler_options(mesh.devices.flat[0].platform),
  )


def _make_loss_and_gradients(
  config: Config,
) -> Callable[[TrainState, Batch], tuple[jax.Array, dict]]:
  """Return `(state, batch) -> (loss, gradients)`.

  A_min scales with the image's area, so it is smaller in half-size epochs.
  """
  model = make_model(config.model)
  complete = composites_of_step(config.data)

  def loss_and_gradients(state: TrainState, batch: Batch):
    batch = complete(batch, state.key, state.step)
    composite = normalize(batch["composite"])
    mask = batch["mask"].astype(jnp.float32)
    # The network cannot change what is outside the mask.
    real = blend(normalize(batch["real"]), composite, mask)
    share = mask[0].size / config.data.image_size**2

    def mean_loss(params: dict) -> jax.Array:
      output = apply(model, params, composite, mask)
      losses = foreground_loss(
        blend(output, composite, mask),
        real,
        mask,
        share * config.min_area,
        config.training.loss == "root",
      )
      return jnp.mean(losses)

    return jax.value_and_grad(mean_loss)(state.params)

  return loss_and_gradients


def composites_of_step(
  config: DataConfig,
) -> Callable[[Batch, jax.Array, jax.Array], Batch]:
  """Return `(batch, key, step) -> batch`, which makes a step's composites.

  Batches that have composites are left alone.

  Args:
    key: the state's, into which `step` is folded.
  """
  file = config.composites.color_maps
  color_maps = load_maps(file) if file else None

  def complete(batch: Batch, key: jax.Array, step: jax.Array) -> Batch:
    keys = jax.random.split(jax.random.fold_in(key, step), len(batch["index"]))
    return with_composites(batch, keys, config.composites, color_maps)

  return complete
