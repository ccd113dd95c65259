"""The recipe of the released weights `hdnet-lite`: composites of layers.

Set --config.data.root to a folder with images/, masks/ and manifest.csv. Two
runs follow each other. `--config=release_lite`, at half of the network's size,
starts from the weights of version 0.1, in the project's folder weights/; from
random ones it learns far more slowly (weights/README.md). It is followed by
`--config=release_lite:full`, at the full size, which starts from its end, in
runs/release_lite.

Truths are photos as they are, dull as originals, or in any other light. Objects
are retouched as by an expert, developed otherwise, or take a donor's colours,
by little or much; half of them are moved within their photo. The transfer
`distribution` is left out: the checkpoints are compared by it, on photos that
are not trained on.
"""

import dataclasses

from hdnet_jax import config
from hdnet_jax.errors import UserError

HALF = config.Config(
  name="release_lite",
  seed=2,
  model=config.ModelConfig(width=8),
  epochs=9.0,
  data=config.DataConfig(
    source="photos", composites=config.RELEASE, flip=True, crop=0.7
  ),
  optimizer=config.OptimizerConfig(
    learning_rate=1.5e-3, boundaries=(6.0, 7.2, 8.3), decay=0.35
  ),
  training=config.TrainingConfig(
    loss="root",
    half_size_epochs=9.0,
    ema_decay=0.995,
    initial_weights="weights/hdnet-lite-0.1.safetensors",
  ),
  eval_every=5000,
  save_every=200,
  log_every=25,
)
FULL = dataclasses.replace(
  HALF,
  name="release_lite_full",
  seed=3,
  epochs=4.24,
  optimizer=dataclasses.replace(
    HALF.optimizer, boundaries=(3.117, 3.636, 4.01)
  ),
  training=dataclasses.replace(
    HALF.training, half_size_epochs=0.0, initial_weights="runs/release_lite"
  ),
)
ROWS = {"half": HALF, "full": FULL}


def get_config(row: str = "half"):
  if row not in ROWS:
    raise UserError(f"no row {row!r}; the rows are {', '.join(ROWS)}")
  return config.make_config_dict(ROWS[row])
