"""HDNet-lite on the embedded photos: a few minutes on two CPU cores."""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="quickstart",
      epochs=17,
      batch_size=8,
      model=config.ModelConfig(width=8),
      data=config.DataConfig(
        source="embedded",
        image_size=64,
        # Three photos train: only their structure is to be learned.
        photo_variation=1.0,
        # Changes that the eye sees at this size.
        recolor_strength=1.5,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=4e-3, boundaries=(12.75, 15.75)
      ),
      log_every=50,
      eval_every=500,
      save_every=500,
    )
  )
