"""A run's folder: its config, and whether it may be continued.

config.json      the settings it was started with
metrics.jsonl    a line of numbers every `log_every` steps and evaluation
events.out.*     the same for TensorBoard, with pictures
checkpoints/     by step
evaluation/      the table of the end: metrics.json, per_image.csv, grid.png
"""

import json
import pathlib

from hdnet_jax.config import Config, differences
from hdnet_jax.errors import UserError
from hdnet_jax.files import write_text
from hdnet_jax.hosts import is_main


def read_config(workdir: pathlib.Path) -> Config | None:
  """The config that `workdir` was started with; None for a new one."""
  path = workdir / "config.json"
  if not path.is_file():
    return None
  try:
    return Config.from_dict(json.loads(path.read_text(encoding="utf-8")))
  except (json.JSONDecodeError, UserError) as error:
    raise UserError(
      f"{path} is not a config of this version ({error}); use another --workdir"
    ) from None


def claim(workdir: pathlib.Path, config: Config) -> None:
  """Makes `workdir` the folder of `config`, or confirms that it is.

  Raises:
    UserError: where another config lives there, with the differences.
  """
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f"{workdir} is a file; give --workdir a folder")
  old = read_config(workdir)
  if old is None:
    if is_main():
      write_text(
        workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n"
      )
    return
  changed = differences(old, config)
  if changed:
    raise UserError(
      f"{workdir} holds a run of another config; use another --workdir or undo"
      " these changes:\n  " + "\n  ".join(changed)
    )
