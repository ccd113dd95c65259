"""Rows trained, one after another."""

import logging
from collections.abc import Callable, Sequence

from hdnet_jax.app.ablation.results import is_finished
from hdnet_jax.app.ablation.rows import Job
from hdnet_jax.errors import UserError


def run_rows(
  jobs: Sequence[Job], say: Callable[[str], None] = print
) -> list[Job]:
  """Trains what is not finished, one after another; returns what was trained.

  Args:
    say: is called with a line before every row.

  Raises:
    Stopped: of `training.loop`, after SIGTERM or Ctrl-C in a row.
    UserError: for what a row cannot use, and where it diverges.
  """
  trained = []
  for number, job in enumerate(jobs, 1):
    title = f"row {number} of {len(jobs)}: {job.row}, seed {job.seed}"
    if is_finished(job.folder):
      say(f"{title}, is finished in {job.folder}")
      continue
    say(f"{title}, trains in {job.folder}")
    _train(job)
    trained.append(job)
  return trained


def _train(job: Job) -> None:
  # JAX loads after the arguments were found to be right.
  import jax

  from hdnet_jax.training import loop

  logging.getLogger("hdnet_jax").setLevel(logging.INFO)
  try:
    loop.train_and_evaluate(job.config, job.folder)
  except loop.NonFiniteLoss as error:
    raise UserError(
      f"row {job.row}: {error}; or leave the row out with --rows"
    ) from None
  finally:
    jax.clear_caches()  # no other row has the same functions
