"""Work on many images: in processes, under a progress bar."""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image
from rich import progress
from rich.console import Console
from rich.text import Text

from hdnet_jax.errors import UserError


def in_processes(
  workers: int, calls: list[tuple], on_done: Callable[[int], None]
) -> list[Any]:
  """The results of the calls, (function, argument, ...), made by processes.

  Args:
    workers: processes; 0 is one a core.
    on_done: called with a call's place when it is done, in any order.
  """
  pool = concurrent.futures.ProcessPoolExecutor(
    min(workers or os.cpu_count() or 1, len(calls)),
    multiprocessing.get_context("spawn"),
    initializer=_start_worker,
  )
  results: list[Any] = [None] * len(calls)
  try:
    places = {pool.submit(*call): i for i, call in enumerate(calls)}
    for future in concurrent.futures.as_completed(places):
      results[places[future]] = future.result()
      on_done(places[future])
  except concurrent.futures.process.BrokenProcessPool:
    raise UserError(
      "a worker died, perhaps for want of memory: the same command with fewer "
      '--workers continues (a script needs: if __name__ == "__main__")'
    ) from None
  finally:
    # After Ctrl-C: what runs is finished and kept, the rest never starts.
    pool.shutdown(cancel_futures=True)
  return results


def _start_worker() -> None:
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
  # `examples.open_image` has a limit of its own, before pixels are decoded.
  Image.MAX_IMAGE_PIXELS = None


class _Speed(progress.ProgressColumn):
  def render(self, task: progress.Task) -> Text:
    return Text(f"{task.speed or 0:.0f} images/s")


@contextlib.contextmanager
def bar_of(
  what: str, total: int, done: int = 0
) -> Iterator[Callable[[int], None]]:
  """A progress bar over images, on standard error; gives what advances it."""
  columns = (
    progress.TextColumn("{task.description}"),
    progress.BarColumn(),
    progress.MofNCompleteColumn(),
    _Speed(),
    progress.TimeRemainingColumn(),
  )
  with progress.Progress(*columns, console=Console(stderr=True)) as bar:
    task = bar.add_task(what, total=total, completed=done)
    yield lambda count: bar.advance(task, count)
