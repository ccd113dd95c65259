"""What the released weights were not trained on, for hdnet evaluate.

    hdnet evaluate --config=held_out --weights=hdnet-lite

The photos inside scikit-image, cut into objects; each takes the colours of
another by `distribution`, a change that training leaves out, in its place or
moved.
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="held_out",
      model=config.ModelConfig(width=8),
      data=config.DataConfig(source="embedded"),
    )
  )
