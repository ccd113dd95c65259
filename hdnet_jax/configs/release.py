"""Composites of `release_lite` for the full network, from nothing, on one GPU.

Carry the photos as one file, and the compilation cache from run to run; the
same command goes on where the last one was stopped:

    hdnet prepare photos --root DIR --pack photos.zip
    JAX_COMPILATION_CACHE_DIR=cache hdnet train \\
        --config=release --config.data.root=photos.zip \\
        --workdir=runs/release

All layers are made at the start and kept in the GPU's memory: three variants of
a photo are 8 GB for 5,800 objects.
"""

from hdnet_jax import config


def get_config():
  return config.make_config_dict(
    config.Config(
      name="release",
      model=config.ModelConfig(dtype="bfloat16"),
      batch_size=32,
      epochs=40,
      data=config.DataConfig(
        source="photos",
        composites=config.RELEASE,
        flip=True,
        crop=0.7,
        threads=16,
        cache="device",
        cache_variants=3,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=1.5e-3, boundaries=(20, 30, 36), decay=0.4
      ),
      training=config.TrainingConfig(
        loss="root", half_size_epochs=20, ema_decay=0.998
      ),
      eval_every=2000,
      save_every=250,
    )
  )
