"""HDNet-lite on the embedded photos: a few minutes on two CPU cores."""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="quickstart",
      epochs=31,
      batch_size=8,
      model=config.ModelConfig(width=8),
      data=config.DataConfig(
        source="embedded",
        image_size=64,
        # Few photos train: only their structure is to be learned.
        composites=config.CompositesConfig(as_it_is=0.1, developed=0.6),
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=3e-3, boundaries=(23, 28.5)
      ),
      training=config.TrainingConfig(ema_decay=0.99),
      log_every=50,
      eval_every=500,
      save_every=500,
    )
  )
