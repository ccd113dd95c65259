"""A run's folder: its config, and whether it may be continued.

config.json      the settings it was started with
metrics.jsonl    a line of numbers every `log_every` steps and evaluation
events.out.*     the same for TensorBoard, with pictures
checkpoints/     by step
evaluation/      the table of the end: metrics.json, per_image.csv, grid.png
.lock            while a run writes here: its machine and process
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator

from hdnet_jax.atomic_write import patiently, write_text
from hdnet_jax.config import Config, differences
from hdnet_jax.distributed import of_main
from hdnet_jax.errors import UserError
from hdnet_jax.lock import locked
from hdnet_jax.training.checkpoint_folder import newest_step
from hdnet_jax.training.schedule import make_plan, replanned


def read_config(workdir: pathlib.Path) -> Config | None:
  """The config that `workdir` was started with; None for a new one."""
  path = workdir / "config.json"
  if not path.is_file():
    return None
  text = patiently(lambda: path.read_text(encoding="utf-8"))
  try:
    return Config.from_dict(json.loads(text))
  except (json.JSONDecodeError, UserError) as error:
    raise UserError(
      f"{path} is not a config of this version ({error}); use another --workdir"
    ) from None


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
  """While entered, no other run writes into `workdir`, which is made.

  The first process holds it for all; every process must call this.

  Raises:
    UserError: where another run has it, or it is no folder.
  """
  with contextlib.ExitStack() as lock:

    def hold() -> None:
      _check(workdir)
      lock.enter_context(locked(workdir))

    of_main(hold)
    yield


def claim(
  workdir: pathlib.Path, config: Config, steps_per_epoch: float | None = None
) -> None:
  """Makes `workdir` the folder of `config`, or confirms that it is.

  The first process alone looks and writes; every process must call this.

  With `steps_per_epoch`, what the run has not come to may change: when it ends,
  when the rate falls, and when images of full size begin. Then config.json
  tells the new plan, and the run ends as if it had been started with it.

  Raises:
    UserError: where another config lives there, with the differences.
  """
  of_main(lambda: _claim(workdir, config, steps_per_epoch))


def _claim(
  workdir: pathlib.Path, config: Config, steps_per_epoch: float | None
) -> None:
  _check(workdir)
  old = read_config(workdir)
  if old is None:
    _write(workdir, config)
    return
  planned = (
    old
    if steps_per_epoch is None
    else _replan(workdir, old, config, steps_per_epoch)
  )
  changed = differences(planned, config)
  if changed:
    raise UserError(
      f"{workdir} holds a run of another config; use another --workdir or undo"
      " these changes:\n  " + "\n  ".join(changed)
    )
  if planned != old:
    _write(workdir, planned)


def _check(workdir: pathlib.Path) -> None:
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f"{workdir} is a file; give --workdir a folder")


def _replan(
  workdir: pathlib.Path, old: Config, new: Config, steps_per_epoch: float
) -> Config:
  """The old config with the new plan, if its steps so far are of both plans."""
  step = newest_step(workdir)
  plans = [make_plan(config, steps_per_epoch) for config in (old, new)]
  same = plans[0].until(step) == plans[1].until(step)
  return replanned(old, new) if same else old


def _write(workdir: pathlib.Path, config: Config) -> None:
  text = json.dumps(config.to_dict(), indent=2) + "\n"
  write_text(workdir / "config.json", text)
