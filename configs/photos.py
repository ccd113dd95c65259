"""HDNet-lite on a folder of photos with object masks, recoloured at random.

Set --config.data.root to a folder with images/, masks/ and manifest.csv.
"""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="photos",
      model=config.ModelConfig(width=8),
      data=config.DataConfig(source="photos", image_size=128),
      # A batch of small images bears, and on few steps needs, a higher rate.
      optimizer=config.OptimizerConfig(learning_rate=4e-3),
      eval_every=500,
      save_every=250,
    )
  )
