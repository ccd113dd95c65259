"""A run's folder: its config, and whether it may be continued.

config.json        the settings it was started with
metrics.jsonl      a line of numbers every `log_every` steps and evaluation
events.out.*       the same for TensorBoard, with pictures
checkpoints/       by step
hdnet.safetensors  of a run that has ended: the weights of the best checkpoint
profile/           with `profile_steps`: the trace of some steps
evaluation/        the table of the end: metrics.json, per_image.csv, grid.png
.lock              while a run writes here: its machine and process
"""

import contextlib
import json
import pathlib
from collections.abc import Generator

from hdnet_jax.atomic_write import patiently, write_text
from hdnet_jax.config import PHOTO_SOURCES, Config, differences
from hdnet_jax.config_v0_1 import drop_retired
from hdnet_jax.distributed import run_on_main
from hdnet_jax.errors import UserError
from hdnet_jax.lock import locked
from hdnet_jax.training.schedule import make_plan, replace_plan


def read_config(workdir: pathlib.Path) -> Config | None:
  """Read the config that `workdir` was started with; None for a new one.

  A config of version 0.1 is read without its settings of recolouring: its run's
  weights may be used, but `claim` refuses to continue it.
  """
  config, _ = _read_config(workdir)
  return config


def _read_config(workdir: pathlib.Path) -> tuple[Config | None, bool]:
  """Read the config, and whether its run depends on settings of version 0.1."""
  path = workdir / "config.json"
  if not path.is_file():
    return None, False
  text = patiently(lambda: path.read_text(encoding="utf-8"))
  try:
    values, retired = drop_retired(json.loads(text), PHOTO_SOURCES)
    return Config.from_dict(values), retired
  except (json.JSONDecodeError, UserError) as error:
    raise UserError(
      f"{path} is not a config of this version ({error}); use another --workdir"
    ) from None


def checkpoint_steps(workdir: pathlib.Path) -> list[int]:
  """List the steps of a run's checkpoints without opening any."""
  names = (path.name for path in (workdir / "checkpoints").glob("*"))
  return sorted(int(name) for name in names if name.isdecimal())


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Generator[None]:
  """Create `workdir` and lock it, in process 0; all processes call this.

  Raises:
    UserError: where another run holds it, or it is no folder.
  """
  with contextlib.ExitStack() as lock:

    def hold() -> None:
      _check(workdir)
      lock.enter_context(locked(workdir))

    run_on_main(hold)
    yield


def claim(
  workdir: pathlib.Path, config: Config, steps_per_epoch: float | None = None
) -> None:
  """Write `config` to a new workdir, or check it against an older run's.

  Given `steps_per_epoch`, settings may change that affect only steps yet to
  come: the run's end, the learning rate's boundaries, and the end of half-size
  epochs. Every process must call this.

  Raises:
    UserError: if the run there has another config, with the differences.
  """

  def claim_on_main() -> None:
    _check(workdir)
    old, retired = _read_config(workdir)
    if retired:
      raise UserError(
        f"{workdir} holds a run of version 0.1, whose composites are no longer "
        "made; use another --workdir, and start from its weights by hdnet "
        f"export-weights {workdir} FILE.safetensors and "
        "--config.training.initial_weights=FILE.safetensors"
      )
    planned = config if old is None else old
    if old is not None and steps_per_epoch is not None:
      step = max(checkpoint_steps(workdir), default=0)
      before, after = (
        make_plan(plan, steps_per_epoch).before(step) for plan in (old, config)
      )
      planned = replace_plan(old, config) if before == after else old
    changed = differences(planned, config)
    if changed:
      raise UserError(
        f"{workdir} holds a run of another config; use another --workdir or "
        f"undo these changes: {'; '.join(changed)}"
      )
    if planned != old:
      text = json.dumps(planned.to_dict(), indent=2) + "\n"
      write_text(workdir / "config.json", text)

  run_on_main(claim_on_main)


def _check(workdir: pathlib.Path) -> None:
  if workdir.exists() and not workdir.is_dir():
    raise UserError(f"{workdir} is a file; give --workdir a folder")
