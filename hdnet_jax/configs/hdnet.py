"""HDNet on iHarmony4, with the paper's settings (Section 4.1).

120 epochs of 65,742 images at 256x256, batch 12, Adam at 1e-3, a tenth of it
from epoch 100 and a hundredth from 110. iHarmony4 has no validation split: the
test split is looked at on the way, as the authors do, but never to choose a
checkpoint for the final table, which is of the last step.
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="hdnet",
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
