"""The recipe of the released weights `hdnet-lite`: recoloured photos.

Set --config.data.root to a folder with images/, masks/ and manifest.csv.

The objects are recoloured as iHarmony4's were: by transfers of colour from
other objects, by an expert's retouching, by the time of day, and by a light
that differs over the object. One family, `distribution`, is left out of the
training: the checkpoints are compared by it, on photos that are not trained on.
"""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="release_lite",
      model=config.ModelConfig(width=8),
      epochs=60.75,
      data=config.DataConfig(
        source="photos",
        flip=True,
        crop=0.5,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=3e-3, boundaries=(16, 40, 56), decay=0.4
      ),
      training=config.TrainingConfig(half_size_epochs=54, ema_decay=0.998),
      eval_every=1000,
      save_every=250,
    )
  )
