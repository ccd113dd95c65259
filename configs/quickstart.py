"""A small HDNet-lite on the embedded photos: minutes on two CPU cores."""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="quickstart",
      epochs=14,
      batch_size=8,
      model=config.ModelConfig(width=8),
      data=config.DataConfig(source="embedded", image_size=96),
      optimizer=config.OptimizerConfig(learning_rate=2e-3, boundaries=(10, 13)),
      log_every=20,
      eval_every=200,
      save_every=200,
    )
  )
