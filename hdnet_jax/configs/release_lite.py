"""The recipe of the released weights `hdnet-lite`: composites of layers.

Set --config.data.root to a folder with images/, masks/ and manifest.csv. It
starts from the weights of version 0.1, in the folder weights/ of the project;
from random ones it learns far more slowly (weights/README.md).

Truths are photos as they are, dull as originals, or in any other light. Objects
are retouched as by an expert, developed otherwise, or take a donor's colours,
by little or much; half of them are moved within their photo. The transfer
`distribution` is left out: the checkpoints are compared by it, on photos that
are not trained on. All of it is at half of the size that the network is used
at.
"""

from hdnet_jax import config

EPOCHS = 2.4


def get_config():
  return config.make_config_dict(
    config.Config(
      name="release_lite",
      seed=2,
      model=config.ModelConfig(width=8),
      epochs=EPOCHS,
      data=config.DataConfig(
        source="photos",
        composites=config.RELEASE,
        flip=True,
        crop=0.7,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=1.5e-3, boundaries=(1.5, 2.0, 2.3), decay=0.35
      ),
      training=config.TrainingConfig(
        loss="root",
        half_size_epochs=EPOCHS,
        ema_decay=0.99,
        initial_weights="weights/hdnet-lite-0.1.safetensors",
      ),
      eval_every=500,
      save_every=100,
      log_every=25,
    )
  )
