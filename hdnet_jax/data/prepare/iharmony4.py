"""iHarmony4 checked, resized and encoded, by all cores, in chunks that last.

A chunk is some triplets in the lists' order; it becomes one file in a work
folder, so that an interrupted preparation goes on where it was. The file's name
is a digest of all that went into it: a chunk whose files have changed since is
made again.
"""

import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import zipfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.data import examples
from hdnet_jax.data.iharmony4 import Triplet, check_subsets
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.check_lists import read_lists
from hdnet_jax.data.prepare.checks import Fault
from hdnet_jax.data.prepare.processes import bar_of, in_processes
from hdnet_jax.errors import UserError
from hdnet_jax.images import transforms

NATIVE = "native"
SIZES = ("256", "1024", "2048", NATIVE)
PARTS = ("composite", "mask", "real")

_CHUNK = 64  # triplets
_FORMAT = 2  # of a chunk's file
# Lossless WebP at its quickest: a third smaller than PNG, and read faster.
_WEBP = {"format": "WEBP", "lossless": True, "quality": 0, "method": 0}
_WEBP_SIDE = 16_383  # pixels at most


@dataclasses.dataclass(frozen=True)
class Options:
  """How to prepare; the defaults are the command line's."""

  subsets: tuple[str, ...] = ()  # all
  workers: int = 0  # processes; 0 is one a core
  strict: bool = True  # refuse a data set with faults, or leave them out
  max_pixels: int = examples.MAX_PIXELS  # of an image; more is refused


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
  make_folder(work)
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
  checks.report(root, faults, options.strict)
  counts = {split: sum(map(count_good, part)) for split, part in chunks.items()}
  if not any(counts.values()):
    raise UserError(f"{root} has no good triplet")
  # TFDS has no empty splits.
  chunks = {split: part for split, part in chunks.items() if counts[split]}
  return Prepared(chunks, sum(counts.values()), faults)


def make_folder(work: pathlib.Path) -> None:
  try:
    work.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"{work.parent} cannot be written to ({error.strerror}); choose another "
      "folder with --output"
    ) from None


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
    self, name: str, faults: list[Fault], missing: str = examples.MISSING
  ) -> Image.Image | None:
    image = checks.read(self._root, name, self._max_pixels, faults, missing)
    too_long = image and max(image.size) > _WEBP_SIDE
    if self._size == NATIVE and too_long:
      detail = "{}x{}: a side is over {}".format(*image.size, _WEBP_SIDE)
      faults.append(Fault(examples.TOO_LARGE, name, detail))
    return image


def _webp(image: Image.Image, size: str) -> bytes:
  image = (
    image.convert("RGB")
    if size == NATIVE
    else transforms.resize_image(image, int(size))
  )
  file = io.BytesIO()
  image.save(file, **_WEBP)
  return file.getvalue()


def _png(mask: Image.Image, size: str) -> bytes:
  mask = mask if size == NATIVE else transforms.resize_mask(mask, int(size))
  file = io.BytesIO()
  # One bit a pixel, at the threshold of `examples.mask_pixels`.
  mask.point(lambda value: 255 * (value > 127), mode="1").save(file, "PNG")
  return file.getvalue()
