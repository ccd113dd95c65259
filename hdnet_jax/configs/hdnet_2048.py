"""HDNet on HAdobe5k at 2048x2048: Table 5's high resolution.

Prepare the data with `hdnet prepare iharmony4 --root DIR --image-size 2048
--subset HAdobe5k`. The paper gives no batch size for this table; 4 is ours,
the other settings are those of `hdnet`. Stages are computed again in the
backward pass (`model.remat`); on devices with little memory, lower
--config.batch_size or split the images' height with --config.mesh.spatial.
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="hdnet_2048",
      batch_size=4,
      eval_batch_size=1,
      model=config.ModelConfig(remat=True),
      data=config.DataConfig(
        source="iharmony4",
        root="data/iharmony4",
        subsets=("HAdobe5k",),
        image_size=2048,
        validation_split="test",
        threads=16,
      ),
      eval_every=24_300,  # about five epochs
      save_every=4_860,
    )
  )
