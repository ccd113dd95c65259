"""Figure 5 on iHarmony4, with the paper's settings of `hdnet`.

A row is `--config=neighbors:K`, K the neighbors of local dynamics; `hdnet
ablation --config neighbors` runs all of them. Set
--config.data.root to the data set that `hdnet prepare iharmony4` made.
"""

from typing import Any

from hdnet_jax.configs.hdnet import make_config
from hdnet_jax.errors import UserError

ROWS: dict[str, dict[str, Any]] = {
  "1": {"neighbors": 1},
  "3": {"neighbors": 3},
  "5": {"neighbors": 5},
  "7": {"neighbors": 7},
  "9": {"neighbors": 9},
}


def get_config(row: str = "1"):
  if row not in ROWS:
    raise UserError(f"no row {row!r}; the rows are {', '.join(ROWS)}")
  return make_config(f"neighbors_{row}", **ROWS[row])
