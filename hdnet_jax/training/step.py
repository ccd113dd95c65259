"""One optimization step, compiled once."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hdnet_jax import compilation
from hdnet_jax.config import Config, DataConfig
from hdnet_jax.images import halve, normalize
from hdnet_jax.losses import foreground_loss
from hdnet_jax.model.hdnet import blend
from hdnet_jax.recolor import make_composites, vary_photos
from hdnet_jax.sharding import replicated
from hdnet_jax.training.state import TrainState, make_model, update_ema

Batch = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, dict]]


def make_train_step(
  config: Config,
  optimizer: optax.GradientTransformation,
  mesh: Mesh,
  half_size_steps: int = 0,
) -> TrainStep:
  """The jitted step `(state, batch) -> (state, measures)`.

  The state is donated. Batches are Examples of uint8; those without composites
  get them here, from the state's key and step. Measures are scalars: `loss`,
  the mean of Eq. 1 over the batch, and `gradient_norm`. The first
  `half_size_steps` see the batch at half of its size.
  """
  model = make_model(config.model)

  def loss_and_gradients(state: TrainState, batch: Batch):
    key = jax.random.fold_in(state.key, state.step)
    batch = with_composites(batch, key, config.data)
    composite = normalize(batch["composite"])
    real = normalize(batch["real"])
    mask = batch["mask"].astype(jnp.float32)

    def mean_loss(params):
      output = model.apply({"params": params}, composite, mask)
      harmonized = blend(output, composite, mask)
      return jnp.mean(foreground_loss(harmonized, real, mask, config.min_area))

    return jax.value_and_grad(mean_loss)(state.params)

  def at_half_size(state: TrainState, batch: Batch):
    images = batch.keys() & {"composite", "real", "mask"}
    return loss_and_gradients(
      state, {**batch, **{name: halve(batch[name]) for name in images}}
    )

  def train_step(state: TrainState, batch: Batch):
    if half_size_steps:  # one program for both sizes: nothing is compiled later
      loss, gradients = jax.lax.cond(
        state.step < half_size_steps,
        at_half_size,
        loss_and_gradients,
        state,
        batch,
      )
    else:
      loss, gradients = loss_and_gradients(state, batch)
    updates, opt_state = optimizer.update(
      gradients, state.opt_state, state.params
    )
    params = optax.apply_updates(state.params, updates)
    if state.ema is not None:
      decay = config.training.ema_decay
      state = state.replace(
        ema=update_ema(state.ema, params, state.step, decay)
      )
    state = state.replace(
      step=state.step + 1, params=params, opt_state=opt_state
    )
    norm = optax.tree.norm(gradients)
    return state, {"loss": loss, "gradient_norm": norm}

  return jax.jit(
    train_step,
    in_shardings=(replicated(mesh), None),  # batches are as `put` split them
    out_shardings=replicated(mesh),
    donate_argnums=0,
    compiler_options=compilation.options(mesh.devices.flat[0].platform),
  )


def with_composites(batch: Batch, key: jax.Array, config: DataConfig) -> Batch:
  """The batch with composites, uint8: given, or made with its own neighbours.

  Every photo's object takes its colours from the next one of the batch.
  """
  if "composite" in batch:
    return batch
  real, mask = batch["real"], batch["mask"]
  key_vary, key_recolor = jax.random.split(key)
  if config.photo_variation:
    keys = jax.random.split(key_vary, real.shape[0])
    real = vary_photos(keys, real, config.photo_variation)
  composite = make_composites(
    jax.random.split(key_recolor, real.shape[0]),
    real,
    mask,
    jnp.roll(real, 1, axis=0),
    jnp.roll(mask, 1, axis=0),
    config.recolor_strength,
    config.recolorings,
  )
  return {**batch, "real": real, "composite": composite}
