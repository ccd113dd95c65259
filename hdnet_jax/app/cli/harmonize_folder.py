"""`hdnet harmonize` of a folder: of all that is in it, or of what appears."""

import argparse
import collections
import contextlib
import functools
import pathlib
import signal
import time
import typing
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

from hdnet_jax.app.cli import arguments, harmonize_files
from hdnet_jax.cpus import count_cpus
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, line, tell

if typing.TYPE_CHECKING:
  from hdnet_jax.inference.folder import Pair, Plan

MAX_THREADS = 4  # each holds a photo, some 300 MB of 12 megapixels
PAUSE = 2.0  # seconds between looks: a file that is being written changes
RESULTS = "harmonized"  # of --watch: the folder in it for what is made

Fate = Literal["done", "skipped", "failed"]


def harmonize_folder(options: argparse.Namespace) -> None:
  """Harmonize a folder; report bad files, and continue with the rest."""
  found = _plan(options)
  for note in found.notes:
    tell(note)
  work, failures = _Work(options), list(found.failures)
  with ProgressBar("harmonizing", len(found.pairs)) as bar:
    for pair, fate, words in work.run(found.pairs):
      bar.advance()
      if fate == "failed":
        failures += words
        continue
      for note in words:
        bar.print(line(f"{pair.composite}: {note}"))
  for failure in failures:
    tell(f"error: {failure}")
  work.finish(len(found.failures))


def watch_folder(
  options: argparse.Namespace, wait: Callable[[float], object] = time.sleep
) -> None:
  """Harmonize what appears in a folder, until Ctrl-C or SIGTERM.

  Each result's path is printed when it is written.

  Args:
    wait: is called with seconds between two looks at the folder.
  """
  from hdnet_jax.inference.watch import Watcher

  if not options.output_dir:
    options.output_dir = options.watch / RESULTS
  watcher = Watcher(functools.partial(_plan, options))
  watcher.look()  # what is wrong with the folders is found first
  work = _Work(options)
  tell(
    f"watching {options.watch}; results go to {options.output_dir}; Ctrl-C ends"
  )
  with _stoppable():
    while True:
      wait(PAUSE)
      ready, news = watcher.look()
      for words in news:
        tell(words)
      for pair, fate, words in work.run(ready):
        report(pair, fate, words)
  work.finish(len(watcher.failures))


def report(pair: "Pair", fate: "Fate", words: list[str]) -> None:
  """Print the result's path, and its notes or errors."""
  if fate == "done":
    print(pair.output, flush=True)
  for note in words:
    tell(f"error: {note}" if fate == "failed" else f"{pair.composite}: {note}")


@contextlib.contextmanager
def _stoppable() -> Generator[None]:
  """End a block at Ctrl-C, and at SIGTERM, without an error."""
  before = signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    yield
  except KeyboardInterrupt:
    pass
  finally:
    signal.signal(signal.SIGTERM, before)


def _plan(options: argparse.Namespace) -> "Plan":
  """Pair what the options' folder has now."""
  from hdnet_jax.inference.folder import plan
  from hdnet_jax.inference.shard import Shard

  suffix = f".{options.format}" if options.format else None
  if options.preview:
    suffix = harmonize_files.default_end(options)
  return plan(
    *(options.watch or options.input_dir, options.mask_dir, options.output_dir),
    options.mask_suffix,
    harmonize_files.comparison_of if options.compare else None,
    suffix,
    options.mask_from_alpha,
    Shard.parse(options.shard),
    watched=bool(options.watch),
  )


class _Work:
  """Harmonizes pairs, and remembers what became of each composite."""

  def __init__(self, options: argparse.Namespace):
    self._options = options
    self._network = arguments.load_network(options)
    self._fates: dict[pathlib.Path, Fate] = {}

  def run(
    self, pairs: Iterable["Pair"]
  ) -> "Iterator[tuple[Pair, Fate, list[str]]]":
    """Yield each pair in order, with its fate and its notes or errors."""
    return _in_threads(self._harmonize, pairs)

  def count(self, fate: Fate) -> int:
    return collections.Counter(self._fates.values())[fate]

  def finish(self, failures: int) -> None:
    """Print what became of all; end with status 2 where anything failed.

    Args:
      failures: of files that could not be paired.
    """
    skipped, failed = self.count("skipped"), self.count("failed") + failures
    if skipped and not self._options.skip_existing:
      tell("what exists was skipped; --force replaces it")
    done = f"{self.count('done'):,} harmonized"
    print(f"{done}, {skipped:,} skipped, {failed:,} failed")
    if failed:
      raise SystemExit(2)

  def _harmonize(self, pair: "Pair") -> "tuple[Pair, Fate, list[str]]":
    fate, words = self._try(pair)
    self._fates[pair.composite] = fate
    return pair, fate, words

  def _try(self, pair: "Pair") -> tuple[Fate, list[str]]:
    options = self._options
    keep = options.skip_existing or not options.force
    # A watched pair comes again only when its composite or mask has changed.
    is_first = pair.composite not in self._fates
    if keep and is_first and harmonize_files.is_whole(pair.output, options):
      return "skipped", []
    try:
      # A stopped run may have left one of two files: it is replaced.
      return "done", harmonize_files.harmonize_file(
        pair.composite,
        pair.mask,
        pair.output,
        lambda: self._network,
        options,
        True,
      )
    except UserError as error:
      return "failed", [str(error)]


def _in_threads(run: Callable, items: Iterable) -> Iterator:
  """Yield the results of `run` in order; run a few at a time.

  One photo is decoded, or written, while another is in the network. When the
  caller stops, items that have not begun are dropped.
  """
  threads = min(count_cpus(), MAX_THREADS)
  waiting: collections.deque[Future] = collections.deque()
  with ThreadPoolExecutor(threads) as pool:
    try:
      for item in items:
        waiting.append(pool.submit(run, item))
        if len(waiting) > threads:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for future in waiting:
        future.cancel()
