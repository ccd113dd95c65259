"""Table 3 on iHarmony4, with the paper's settings of `hdnet`.

A row is `--config=ablation:ROW`; `hdnet ablation` runs all of them. LD is
local dynamics, MGD mask-aware global dynamics. Set --config.data.root to the
data set that `hdnet prepare iharmony4` made.
"""

from typing import Any

from hdnet_jax.configs.hdnet import make_config
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
  return make_config(f"ablation_{row}", **ROWS[row])
