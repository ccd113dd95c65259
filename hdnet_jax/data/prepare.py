"""iHarmony4 checked, resized and encoded, by all cores, in chunks that last.

A chunk is some triplets in the lists' order; it becomes one file in a work
folder, so that an interrupted preparation goes on where it was. The file's name
is a digest of all that went into it: a chunk whose files have changed since is
made again.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import logging
import multiprocessing
import os
import pathlib
import signal
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from PIL import Image
from rich import progress
from rich.console import Console
from rich.text import Text

from hdnet_jax.data import checks, records
from hdnet_jax.data.checks import Fault
from hdnet_jax.data.iharmony4 import (
  SPLITS,
  Triplet,
  check_subsets,
  find_lists,
  find_own_lists,
  list_subset,
  read_list,
)
from hdnet_jax.errors import UserError
from hdnet_jax.files import write_then_rename

log = logging.getLogger(__name__)

NATIVE = "native"
SIZES = ("256", "1024", "2048", NATIVE)
PARTS = ("composite", "mask", "real")

_CHUNK = 64  # triplets
_FORMAT = 1  # of a chunk's file
# Lossless WebP at its quickest: a third smaller than PNG, and read faster.
_WEBP = {"format": "WEBP", "lossless": True, "quality": 0, "method": 0}
_WEBP_SIDE = 16_383  # pixels at most


@dataclasses.dataclass(frozen=True)
class Options:
  """How to prepare; the defaults are the command line's."""

  subsets: tuple[str, ...] = ()  # all
  workers: int = 0  # processes; 0 is one a core
  strict: bool = True  # refuse a data set with faults, or leave them out
  max_pixels: int = records.MAX_PIXELS  # of an image; more is refused


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Triplets that are prepared together."""

  triplets: tuple[Triplet, ...]
  path: pathlib.Path  # of the file that holds them, prepared


@dataclasses.dataclass(frozen=True)
class Prepared:
  """What came out: chunks by `SUBSET_SPLIT`, and what was wrong."""

  chunks: dict[str, list[Chunk]]
  count: int  # of good triplets
  faults: list[Fault]


Encoded = dict[str, bytes]  # composite and real in WebP, mask in PNG


def prepare(
  root: pathlib.Path, work: pathlib.Path, size: str, options: Options
) -> Prepared:
  """Checks and encodes every triplet of the data set at `root`.

  Args:
    work: folder for the chunks.
    size: one of `SIZES`.

  Raises:
    UserError: where there is no data set, or, if strict, for any fault.
  """
  listed, faults = read_lists(root, check_subsets(options.subsets))
  _make_folder(work)
  chunks = {
    split: [
      Chunk(part, work / _chunk_name(root, part, size, options.max_pixels))
      for part in _parts(triplets)
    ]
    for split, triplets in listed.items()
  }
  flat = [chunk for part in chunks.values() for chunk in part]
  faults += _make(root, flat, size, options)
  faults = checks.unique(faults)
  if faults:
    checks.show(faults)
  if faults and options.strict:
    raise UserError(
      f"{root}: {checks.summary(faults)}; mend these, or leave them out with "
      "--skip-bad"
    )
  counts = {split: sum(map(count_good, part)) for split, part in chunks.items()}
  if not any(counts.values()):
    raise UserError(f"{root} has no good triplet")
  # TFDS has no empty splits.
  chunks = {split: part for split, part in chunks.items() if counts[split]}
  return Prepared(chunks, sum(counts.values()), faults)


def _make_folder(work: pathlib.Path) -> None:
  try:
    work.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"{work.parent} cannot be written to ({error.strerror}); choose another "
      "folder with --output"
    ) from None


def read_lists(
  root: pathlib.Path, subsets: Sequence[str]
) -> tuple[dict[str, list[Triplet]], list[Fault]]:
  """The triplets by `SUBSET_SPLIT`, in the lists' order; faults of the lists.

  Only triplets whose composite exists are returned, each once a split. An
  image in both splits is their authors' choice; it is said, and kept.
  """
  triplets: dict[str, list[Triplet]] = {}
  faults: list[Fault] = []
  listed: set[str] = set()
  for split in SPLITS:
    seen: set[str] = set()
    lists = find_lists(root, split)
    if not lists:
      raise UserError(
        f"iHarmony4 is not at {root.absolute()}: IHD_{split}.txt is missing; "
        "download the data set and unpack it there, lists and all"
      )
    for path in lists:
      name = path.relative_to(root).as_posix()
      for triplet in _read_list(root, path, subsets, faults):
        if triplet.composite in seen:
          faults.append(Fault(checks.LISTED_TWICE, triplet.composite, name))
          continue
        seen.add(triplet.composite)
        if not (root / triplet.composite).is_file():
          faults.append(Fault(checks.NO_FILE, triplet.composite, name))
          continue
        triplets.setdefault(f"{triplet.subset}_{split}", []).append(triplet)
    if listed & seen:
      log.warning("images in train and in test, too: %d", len(listed & seen))
    listed |= seen
    for path in find_own_lists(root, split, subsets):
      if path not in lists:
        faults += _compare(root, path, lists[0], seen)
  faults += _unlisted(root, subsets, listed)
  if not triplets:
    raise UserError(
      f"{root} has none of the listed images of {', '.join(subsets)}; unpack "
      "the data set there"
    )
  return triplets, faults


def _read_list(
  root: pathlib.Path,
  path: pathlib.Path,
  subsets: Sequence[str],
  faults: list[Fault],
) -> list[Triplet]:
  """What a list names of the subsets; its other lines become faults."""
  if list_subset(path) not in ("", *subsets):
    return []
  name = path.relative_to(root).as_posix()
  triplets, bad = read_list(path)
  faults += [
    Fault(checks.BAD_LINE, f"{name}:{number}", repr(line))
    for number, line in bad.items()
  ]
  triplets = [triplet for triplet in triplets if triplet.subset in subsets]
  # A subset that was never unpacked would be thousands of faults.
  for subset in sorted({triplet.subset for triplet in triplets}):
    if not (root / subset).is_dir():
      raise UserError(
        f"{root} has no folder {subset}, which {name} lists; unpack it there, "
        "or name the subsets that are there with --subset"
      )
  return triplets


def _compare(
  root: pathlib.Path, own: pathlib.Path, whole: pathlib.Path, listed: set[str]
) -> list[Fault]:
  """Faults of a subset's own list; one where the whole list says otherwise.

  Args:
    listed: composites that the whole list names.
  """
  faults: list[Fault] = []
  subset = list_subset(own)
  named = {
    triplet.composite for triplet in _read_list(root, own, (subset,), faults)
  }
  others = {name for name in listed if name.startswith(f"{subset}/")}
  if named != others:
    detail = (
      f"only here: {len(named - others)}, only in {whole.name}: "
      f"{len(others - named)}; the first: {min(named ^ others)}"
    )
    name = own.relative_to(root).as_posix()
    faults.append(Fault(checks.LISTS_DISAGREE, name, detail))
  return faults


def _unlisted(
  root: pathlib.Path, subsets: Sequence[str], listed: set[str]
) -> list[Fault]:
  """Composites that no list names."""
  faults = []
  for subset in subsets:
    for path in sorted((root / subset / "composite_images").glob("*")):
      name = path.relative_to(root).as_posix()
      image = path.suffix.lower() in (".jpg", ".jpeg", ".png")
      if image and not path.name.startswith(".") and name not in listed:
        faults.append(Fault(checks.UNLISTED, name, "in no train or test list"))
  return faults


def _parts(triplets: list[Triplet]) -> Iterator[tuple[Triplet, ...]]:
  for start in range(0, len(triplets), _CHUNK):
    yield tuple(triplets[start : start + _CHUNK])


def _chunk_name(
  root: pathlib.Path, triplets: Sequence[Triplet], size: str, max_pixels: int
) -> str:
  digest = hashlib.sha256(f"{_FORMAT} {size} {max_pixels}\n".encode())
  for triplet in triplets:
    for part in PARTS:
      name = getattr(triplet, part)
      path = root / name
      state = path.stat() if path.exists() else None
      stamp = (state.st_size, state.st_mtime_ns) if state else "missing"
      digest.update(f"{name} {stamp}\n".encode())
  return f"{digest.hexdigest()[:24]}.zip"


def _make(
  root: pathlib.Path, chunks: list[Chunk], size: str, options: Options
) -> list[Fault]:
  """Makes the chunks that are not there; the faults of all."""
  images = sum(len(chunk.triplets) for chunk in chunks)
  waiting = [chunk for chunk in chunks if not chunk.path.exists()]
  done = images - sum(len(chunk.triplets) for chunk in waiting)
  if waiting:
    with bar_of("preparing", images, done) as advance:
      in_processes(
        options.workers,
        [
          (make_chunk, root, chunk, size, options.max_pixels)
          for chunk in waiting
        ],
        on_done=lambda place: advance(len(waiting[place].triplets)),
      )
  return [fault for chunk in chunks for fault in read_faults(chunk)]


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
  # `records.open_image` has a limit of its own, before pixels are decoded.
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


def make_chunk(
  root: pathlib.Path, chunk: Chunk, size: str, max_pixels: int
) -> None:
  """Writes a chunk's file: its good triplets, and its faults."""
  faults: list[Fault] = []
  encoder = Encoder(root, size, max_pixels)

  def write(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
      for place, triplet in enumerate(chunk.triplets):
        encoded, found = encoder.encode(triplet)
        faults.extend(found)
        for part, data in (encoded or {}).items():
          file.writestr(f"{place}/{part}", data)
      rows = [dataclasses.astuple(fault) for fault in faults]
      file.writestr("faults.json", json.dumps(rows))

  write_then_rename(chunk.path, write)


def read_faults(chunk: Chunk) -> list[Fault]:
  with zipfile.ZipFile(chunk.path) as file:
    return [Fault(*row) for row in json.loads(file.read("faults.json"))]


def count_good(chunk: Chunk) -> int:
  with zipfile.ZipFile(chunk.path) as file:
    return sum(name.endswith("/mask") for name in file.namelist())


def read_chunk(chunk: Chunk) -> Iterator[tuple[Triplet, Encoded]]:
  """The good triplets of a chunk that was made."""
  with zipfile.ZipFile(chunk.path) as file:
    names = set(file.namelist())
    for place, triplet in enumerate(chunk.triplets):
      if f"{place}/mask" in names:
        yield triplet, {part: file.read(f"{place}/{part}") for part in PARTS}


class _Target(NamedTuple):
  """What the composites of one photo and object share."""

  sizes: dict[str, tuple[int, int]]  # of mask and real, where they were read
  encoded: Encoded  # mask and real; empty if either is bad
  faults: list[Fault]


class Encoder:
  """Encodes triplets without loss.

  It keeps the last mask and photo: lists name an object's composites in a row.
  """

  def __init__(self, root: pathlib.Path, size: str, max_pixels: int):
    self._root, self._size, self._max_pixels = root, size, max_pixels
    self._target = functools.lru_cache(maxsize=1)(self._encode_target)

  def encode(self, triplet: Triplet) -> tuple[Encoded | None, list[Fault]]:
    """A triplet's parts; None where anything is wrong."""
    target = self._target(triplet.mask, triplet.real)
    faults = list(target.faults)
    composite = self._read(triplet.composite, faults, checks.NO_FILE)
    sizes = {"composite": composite.size} if composite else {}
    checks.check_sizes(sizes | target.sizes, triplet.composite, faults)
    if faults:
      return None, faults
    return {"composite": _webp(composite, self._size), **target.encoded}, []

  def _encode_target(self, mask_name: str, real_name: str) -> _Target:
    faults: list[Fault] = []
    mask = self._read(mask_name, faults)
    real = self._read(real_name, faults)
    light = checks.check_mask(mask, mask_name, faults)
    sizes = {"mask": mask, "real": real}
    sizes = {part: image.size for part, image in sizes.items() if image}
    if faults:
      return _Target(sizes, {}, faults)
    encoded = {"mask": _png(light, self._size), "real": _webp(real, self._size)}
    return _Target(sizes, encoded, [])

  def _read(
    self, name: str, faults: list[Fault], missing: str = records.MISSING
  ) -> Image.Image | None:
    image = checks.read(self._root, name, self._max_pixels, faults, missing)
    too_long = image and max(image.size) > _WEBP_SIDE
    if self._size == NATIVE and too_long:
      detail = "{}x{}: a side is over {}".format(*image.size, _WEBP_SIDE)
      faults.append(Fault(records.TOO_LARGE, name, detail))
    return image


def _webp(image: Image.Image, size: str) -> bytes:
  image = (
    image.convert("RGB")
    if size == NATIVE
    else records.resize_image(image, int(size))
  )
  file = io.BytesIO()
  image.save(file, **_WEBP)
  return file.getvalue()


def _png(mask: Image.Image, size: str) -> bytes:
  mask = mask if size == NATIVE else records.resize_mask(mask, int(size))
  file = io.BytesIO()
  # One bit a pixel, at the threshold of `records.mask_pixels`.
  mask.point(lambda value: 255 * (value > 127), mode="1").save(file, "PNG")
  return file.getvalue()
