"""Table 3 on iHarmony4, with the paper's settings of `hdnet`.

A row is `--config=ablation:ROW`; `hdnet ablation` runs all of them. LD is
local dynamics, MGD mask-aware global dynamics. Set --config.data.root to the
data set that `hdnet prepare iharmony4` made.
"""

from typing import Any

from hdnet_jax import config
from hdnet_jax.errors import UserError

# What is not said is as in HDNet: both LD, with one neighbor, and MGD.
ROWS: dict[str, dict[str, Any]] = {
  "base": {"local_dynamics": "none", "global_dynamics": "none"},
  "ld": {"global_dynamics": "none"},
  "sa": {"local_dynamics": "none", "global_dynamics": "spatial_attention"},
  "mgd": {"local_dynamics": "none"},
  "learned_mask": {"global_dynamics": "learned_mask"},  # HDNet*
  "hdnet": {},
  # Not in the paper: LD as the authors' code computes it.
  "ld_official": {"local_dynamics": "official"},
}


def get_config(row: str = "hdnet"):
  if row not in ROWS:
    raise UserError(f"no row {row!r}; the rows are {', '.join(ROWS)}")
  return config.make_config_dict(
    config.Config(
      name=f"ablation_{row}",
      model=config.ModelConfig(**ROWS[row]),
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
