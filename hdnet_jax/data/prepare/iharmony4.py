"""iHarmony4's files, checked, resized and encoded in chunks.

A chunk is a few triplets in the lists' order, in one file of a work folder: an
interrupted preparation continues where it was. The file's name is a digest of
what it was made of, so that a chunk whose images have changed is made again.
"""

import dataclasses
import functools
import hashlib
import io
import json
import pathlib
import sys
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.data import iharmony4
from hdnet_jax.data.iharmony4 import PARTS, Triplet
from hdnet_jax.data.prepare import checks, lists
from hdnet_jax.data.prepare.checks import Checker, Fault, Options
from hdnet_jax.errors import UserError
from hdnet_jax.images import transforms
from hdnet_jax.terminal import ProgressBar

NATIVE = "native"
SIZES = ("256", "1024", "2048", NATIVE)

_FORMAT = 2  # of a chunk's file
# Lossless WebP at its quickest: a third smaller than PNG, and read faster.
_WEBP = {"format": "WEBP", "lossless": True, "quality": 0, "method": 0}
_WEBP_SIDE = 16_383  # pixels at most

Encoded = dict[str, bytes]  # composite and real in WebP, mask in PNG


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Triplets that are prepared together."""

  triplets: tuple[Triplet, ...]
  path: pathlib.Path  # of the file that holds them, prepared


@dataclasses.dataclass(frozen=True)
class Prepared:
  """Chunks by `SUBSET_SPLIT`, and what was wrong."""

  chunks: dict[str, list[Chunk]]  # with one good triplet or more
  count: int  # of good triplets
  faults: list[Fault]


def prepare(
  root: pathlib.Path, work: pathlib.Path, size: str, options: Options
) -> Prepared:
  """Check and encode every triplet of the data set at `root`.

  Args:
    work: folder for the chunks.
    size: one of `SIZES`.

  Raises:
    UserError: if there is no data set, or, if strict, for any fault.
  """
  subsets = iharmony4.check_subsets(options.subsets)
  listed, faults = lists.read_lists(root, subsets)
  make_folder(work)
  chunks = {
    split: [
      Chunk(part, work / _chunk_name(root, part, size, options.max_pixels))
      for start in range(0, len(triplets), options.chunk)
      for part in [tuple(triplets[start : start + options.chunk])]
    ]
    for split, triplets in listed.items()
  }
  flat = [chunk for part in chunks.values() for chunk in part]
  _make_missing(root, flat, size, options)
  good: dict[str, list[Chunk]] = {}  # TFDS has no empty splits
  total = 0
  for split, part in chunks.items():
    for chunk in part:
      count, wrong = _read_outcome(chunk)
      total += count
      faults += wrong
      if count:
        good.setdefault(split, []).append(chunk)
  faults = checks.unique(faults)
  checks.report(root, faults, options.strict)
  if not total:
    raise UserError(f"{root} has no good triplet")
  return Prepared(good, total, faults)


def make_folder(work: pathlib.Path) -> None:
  try:
    work.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"{work.parent} cannot be written to ({error.strerror}); choose another "
      "folder with --output"
    ) from None


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


def _make_missing(
  root: pathlib.Path, chunks: list[Chunk], size: str, options: Options
) -> None:
  waiting = [chunk for chunk in chunks if not chunk.path.exists()]
  if not waiting:
    return
  images, rest = (sum(len(c.triplets) for c in x) for x in (chunks, waiting))
  calls = [
    (make_chunk, root, chunk, size, options.max_pixels) for chunk in waiting
  ]
  with ProgressBar("preparing", images, images - rest) as bar:
    checks.in_processes(
      options.workers,
      calls,
      on_done=lambda place: bar.advance(len(waiting[place].triplets)),
    )


def make_chunk(
  root: pathlib.Path, chunk: Chunk, size: str, max_pixels: int
) -> None:
  """Write a chunk's file: its good triplets, and its faults."""
  faults: list[Fault] = []
  encoder = Encoder(root, size, max_pixels)

  def write(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
      for place, triplet in enumerate(chunk.triplets):
        encoded, wrong = encoder.encode(triplet)
        faults.extend(wrong)
        for part, data in encoded.items():
          file.writestr(f"{place}/{part}", data)
      rows = [dataclasses.astuple(fault) for fault in faults]
      file.writestr("faults.json", json.dumps(rows))

  write_then_rename(chunk.path, write)


def _read_outcome(chunk: Chunk) -> tuple[int, list[Fault]]:
  """Return how many triplets of a chunk are good, and its faults."""
  with zipfile.ZipFile(chunk.path) as file:
    count = sum(name.endswith("/mask") for name in file.namelist())
    rows = json.loads(file.read("faults.json"))
  return count, [Fault(*row) for row in rows]


def read_chunk(chunk: Chunk) -> Iterator[tuple[Triplet, Encoded]]:
  """Read the good triplets of a chunk's file."""
  with zipfile.ZipFile(chunk.path) as file:
    names = set(file.namelist())
    for place, triplet in enumerate(chunk.triplets):
      if f"{place}/mask" in names:
        yield triplet, {part: file.read(f"{place}/{part}") for part in PARTS}


class Encoder:
  """Encodes triplets without loss.

  It keeps the last mask and photo: lists name an object's composites in a row.
  """

  def __init__(self, root: pathlib.Path, size: str, max_pixels: int):
    self._size = size
    max_side = _WEBP_SIDE if size == NATIVE else sys.maxsize
    self._checker = functools.partial(Checker, root, max_pixels, max_side)
    self._target = functools.lru_cache(maxsize=1)(self._encode_target)

  def encode(self, triplet: Triplet) -> tuple[Encoded, list[Fault]]:
    """Encode a triplet's parts; none of them if anything is wrong."""
    sizes, encoded, faults = self._target(triplet.mask, triplet.real)
    checker = self._checker(faults=list(faults))
    composite = checker.read(triplet.composite, checks.NO_FILE)
    own = {"composite": composite.size} if composite else {}
    checker.check_sizes(own | sizes, triplet.composite)
    if checker.faults or composite is None:
      return {}, checker.faults
    return {"composite": encode_image(composite, self._size), **encoded}, []

  def _encode_target(self, mask_name: str, real_name: str):
    """Return the sizes, encoded files and faults of mask and real."""
    checker = self._checker()
    mask, real = checker.read(mask_name), checker.read(real_name)
    light = checker.check_mask(mask, mask_name)
    images = {"mask": mask, "real": real}
    sizes = {part: image.size for part, image in images.items() if image}
    if checker.faults or light is None or real is None:
      return sizes, {}, checker.faults
    encoded = {
      "mask": encode_mask(light, self._size),
      "real": encode_image(real, self._size),
    }
    return sizes, encoded, []


def encode_image(image: Image.Image, size: str) -> bytes:
  if size == NATIVE:
    return _saved(image.convert("RGB"), **_WEBP)
  return _saved(transforms.resize_image(image, int(size)), **_WEBP)


def encode_mask(mask: Image.Image, size: str) -> bytes:
  mask = mask if size == NATIVE else transforms.resize_mask(mask, int(size))
  # One bit a pixel, at the threshold of `examples.mask_pixels`.
  mask = mask.point([0] * 128 + [255] * 128, mode="1")
  return _saved(mask, format="PNG")


def _saved(image: Image.Image, **options: Any) -> bytes:
  file = io.BytesIO()
  image.save(file, **options)
  return file.getvalue()
