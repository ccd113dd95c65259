"""HDNet-lite on a folder of photos, whose objects become composites.

Set --config.data.root to a folder with images/, masks/ and manifest.csv. With
4,000 objects this is a first model after 20 minutes on two CPU cores. For a
better one, on a GPU, train on larger images and longer:

  --config.data.image_size=256 --config.batch_size=16 --config.epochs=120
  --config.optimizer.boundaries="(100.,110.)"
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="photos",
      model=config.ModelConfig(width=8),
      batch_size=8,
      epochs=8,
      data=config.DataConfig(source="photos", image_size=96),
      optimizer=config.OptimizerConfig(
        learning_rate=4e-3, boundaries=(5.5, 7.25)
      ),
      eval_every=500,
      save_every=250,
    )
  )
