"""HDNet-lite on the embedded photos: a few minutes on two CPU cores."""

from hdnet_jax import config


def get_config():
  return config.flags_of(
    config.Config(
      name="quickstart",
      epochs=24,
      batch_size=8,
      model=config.ModelConfig(width=8),
      data=config.DataConfig(
        source="embedded",
        image_size=64,
        recolorings=config.EVEN_RECOLORINGS,
        # Three photos train: only their structure is to be learned.
        photo_variation=1.0,
      ),
      optimizer=config.OptimizerConfig(learning_rate=3e-3, boundaries=(18, 22)),
      training=config.TrainingConfig(ema_decay=0.99),
      log_every=50,
      eval_every=500,
      save_every=500,
    )
  )
