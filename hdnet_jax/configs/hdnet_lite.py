"""HDNet-lite on iHarmony4: `hdnet` at a quarter of the width."""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="hdnet_lite",
      model=config.ModelConfig(width=8),
      data=config.DataConfig(
        source="iharmony4",
        root="data/iharmony4",
        validation_split="test",
        threads=16,
      ),
      eval_every=27_400,  # about five epochs
      save_every=5_000,
    )
  )
