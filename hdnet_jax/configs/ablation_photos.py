"""Table 3 and Figure 5 in small: HDNet-lite on a folder of photos.

A row is `--config=ablation_photos:ROW`; `hdnet ablation` runs all of them.
Set --config.data.root to a folder with images/, masks/ and manifest.csv. The
composites and the loss are those of `release_lite`; every row starts from
random weights, as weights of one row do not fit another.
"""

from typing import Any

from hdnet_jax import config
from hdnet_jax.configs import ablation, neighbors
from hdnet_jax.errors import UserError

ROWS: dict[str, dict[str, Any]] = {
  **ablation.ROWS,
  **{f"k{row}": model for row, model in neighbors.ROWS.items() if row != "1"},
}


def get_config(row: str = "hdnet"):
  if row not in ROWS:
    raise UserError(f"no row {row!r}; the rows are {', '.join(ROWS)}")
  return config.make_config_dict(
    config.Config(
      name=f"ablation_photos_{row}",
      model=config.ModelConfig(width=8, **ROWS[row]),
      batch_size=8,
      epochs=3,
      data=config.DataConfig(
        source="photos",
        image_size=96,
        composites=config.RELEASE,
        flip=True,
        crop=0.7,
      ),
      optimizer=config.OptimizerConfig(
        learning_rate=4e-3, boundaries=(2.0, 2.7)
      ),
      training=config.TrainingConfig(loss="root", ema_decay=0.995),
      eval_every=1000,
      save_every=250,
    )
  )
