"""Work on many images, in processes."""

import concurrent.futures
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from PIL import Image

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
