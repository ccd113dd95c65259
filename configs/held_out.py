"""What the released weights were not trained on, for eval.py.

    python eval.py --config=configs/held_out.py --weights=hdnet-lite

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
