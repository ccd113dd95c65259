"""HDNet on iHarmony4, with the paper's settings (Section 4.1).

120 epochs of 65,742 images at 256x256, batch 12, Adam at 1e-3, a tenth of it
from epoch 100 and a hundredth from 110. iHarmony4 has no validation split: the
test split is looked at on the way, as the authors do, but never to choose a
checkpoint for the final table, which is of the last step.
"""

from typing import Any

from hdnet_jax import config


def get_config():
  return make_config("hdnet")


def make_config(name: str, **model: Any):
  """Return the config of another network, trained in the same way."""
  return config.make_config_dict(
    config.Config(
      name=name,
      model=config.ModelConfig(**model),
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
