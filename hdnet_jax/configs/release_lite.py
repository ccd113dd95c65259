"""The recipe of the released weights `hdnet-lite`: composites of layers.

Set --config.data.root to a folder with images/, masks/ and manifest.csv.

Truths are photos as they are, dull as originals, or in any other light. Objects
are retouched as by an expert, developed otherwise, or take a donor's colours,
by little or much; half of them are moved within their photo. The transfer
`distribution` is left out: the checkpoints are compared by it, on photos that
are not trained on.
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="release_lite",
      model=config.ModelConfig(width=8),
      epochs=50,
      data=config.DataConfig(
        source="photos",
        composites=config.RELEASE,
        flip=True,
        crop=0.7,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=3e-3, boundaries=(16, 32, 42, 47), decay=0.4
      ),
      training=config.TrainingConfig(
        loss="root", half_size_epochs=45, ema_decay=0.998
      ),
      eval_every=2000,
      save_every=250,
    )
  )
