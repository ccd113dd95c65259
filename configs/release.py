"""`release_lite.py` for the full network, of 10.4 M parameters; for a GPU.

Set --config.data.root to a folder with images/, masks/ and manifest.csv.
"""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="release",
      epochs=120,
      data=config.DataConfig(
        source="photos",
        flip=True,
        crop=0.5,
        threads=16,
      ),
      optimizer=config.OptimizerConfig(boundaries=(60, 90, 110), decay=0.4),
      training=config.TrainingConfig(half_size_epochs=60, ema_decay=0.999),
      eval_every=2000,
      save_every=1000,
    )
  )
