"""iHarmony4's lists and files, checked, resized and encoded in chunks.

A chunk is a few triplets in the lists' order, in one file of a work folder: an
interrupted preparation continues where it was. The file's name is a digest of
what it was made of, so that a chunk whose images have changed is made again.
"""

import dataclasses
import functools
import hashlib
import io
import json
import logging
import pathlib
import sys
import zipfile
from collections.abc import Iterator, Sequence

from PIL import Image

from hdnet_jax.atomic_write import write_then_rename
from hdnet_jax.data import iharmony4
from hdnet_jax.data.iharmony4 import PARTS, SPLITS, Triplet
from hdnet_jax.data.prepare import checks
from hdnet_jax.data.prepare.checks import Checker, Fault, Options
from hdnet_jax.errors import UserError
from hdnet_jax.images import transforms
from hdnet_jax.terminal import ProgressBar

log = logging.getLogger(__name__)

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

  chunks: dict[str, list[Chunk]]
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
  listed, faults = read_lists(root, subsets)
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
  counts = dict.fromkeys(chunks, 0)
  for split, part in chunks.items():
    for chunk in part:
      count, wrong = _read_outcome(chunk)
      counts[split] += count
      faults += wrong
  faults = checks.unique(faults)
  checks.report(root, faults, options.strict)
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


def read_lists(
  root: pathlib.Path, subsets: Sequence[str]
) -> tuple[dict[str, list[Triplet]], list[Fault]]:
  """Read the triplets by `SUBSET_SPLIT`, in the lists' order, and check them.

  Only triplets whose composite exists are returned, each once a split. An
  image may be in both splits: it is kept, and the log says so.
  """
  checker = Checker(root)
  triplets: dict[str, list[Triplet]] = {}
  listed: set[str] = set()
  for split in SPLITS:
    lists = iharmony4.find_lists(root, split)
    if not lists:
      raise UserError(
        f"iHarmony4 is not at {root.absolute()}: IHD_{split}.txt is missing; "
        "download the data set and unpack it there, lists and all"
      )
    seen: set[str] = set()
    for path in lists:
      name = path.relative_to(root).as_posix()
      for triplet in _read_list(checker, path, subsets):
        composite = triplet.composite
        if composite in seen:
          checker.add(checks.LISTED_TWICE, composite, name)
          continue
        seen.add(composite)
        if (root / composite).is_file():
          triplets.setdefault(f"{triplet.subset}_{split}", []).append(triplet)
        else:
          checker.add(checks.NO_FILE, composite, name)
    if listed & seen:
      log.warning("images in train and in test, too: %d", len(listed & seen))
    listed |= seen
    for path in iharmony4.find_own_lists(root, split, subsets):
      if path not in lists:
        _compare(checker, path, lists[0], seen)
  _find_unlisted(checker, subsets, listed)
  if not triplets:
    raise UserError(
      f"{root} has none of the listed images of {', '.join(subsets)}; unpack "
      "the data set there"
    )
  return triplets, checker.faults


def _read_list(
  checker: Checker, path: pathlib.Path, subsets: Sequence[str]
) -> list[Triplet]:
  """Read what a list names of the subsets; bad lines become faults."""
  if iharmony4.list_subset(path) not in ("", *subsets):
    return []
  name = path.relative_to(checker.root).as_posix()
  triplets, bad = iharmony4.read_list(path)
  for number, line in bad.items():
    checker.add(checks.BAD_LINE, f"{name}:{number}", repr(line))
  triplets = [triplet for triplet in triplets if triplet.subset in subsets]
  # A subset that was never unpacked would be thousands of faults.
  for subset in sorted({triplet.subset for triplet in triplets}):
    if not (checker.root / subset).is_dir():
      raise UserError(
        f"{checker.root} has no folder {subset}, which {name} lists; unpack it "
        "there, or name the subsets that are there with --subset"
      )
  return triplets


def _compare(
  checker: Checker, own: pathlib.Path, whole: pathlib.Path, listed: set[str]
) -> None:
  """Compare a subset's own list with the composites that `whole` lists."""
  subset = iharmony4.list_subset(own)
  named = {triplet.composite for triplet in _read_list(checker, own, (subset,))}
  others = {name for name in listed if name.startswith(f"{subset}/")}
  if named != others:
    detail = (
      f"only here: {len(named - others)}, only in {whole.name}: "
      f"{len(others - named)}; the first: {min(named ^ others)}"
    )
    name = own.relative_to(checker.root).as_posix()
    checker.add(checks.LISTS_DISAGREE, name, detail)


def _find_unlisted(
  checker: Checker, subsets: Sequence[str], listed: set[str]
) -> None:
  for subset in subsets:
    folder = checker.root / subset / "composite_images"
    for path in sorted(folder.glob("*")):
      name = path.relative_to(checker.root).as_posix()
      image = path.suffix.lower() in (".jpg", ".jpeg", ".png")
      if image and not path.name.startswith(".") and name not in listed:
        checker.add(checks.UNLISTED, name, "in no train or test list")


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
    if checker.faults:
      return {}, checker.faults
    return {"composite": encode_image(composite, self._size), **encoded}, []

  def _encode_target(self, mask_name: str, real_name: str):
    """Return the sizes, encoded files and faults of mask and real."""
    checker = self._checker()
    images = {"mask": checker.read(mask_name), "real": checker.read(real_name)}
    light = checker.check_mask(images["mask"], mask_name)
    sizes = {part: image.size for part, image in images.items() if image}
    if checker.faults:
      return sizes, {}, checker.faults
    mask = encode_mask(light, self._size)
    real = encode_image(images["real"], self._size)
    return sizes, {"mask": mask, "real": real}, []


def encode_image(image: Image.Image, size: str) -> bytes:
  if size == NATIVE:
    return _saved(image.convert("RGB"), **_WEBP)
  return _saved(transforms.resize_image(image, int(size)), **_WEBP)


def encode_mask(mask: Image.Image, size: str) -> bytes:
  mask = mask if size == NATIVE else transforms.resize_mask(mask, int(size))
  # One bit a pixel, at the threshold of `examples.mask_pixels`.
  mask = mask.point(lambda value: 255 * (value > 127), mode="1")
  return _saved(mask, format="PNG")


def _saved(image: Image.Image, **options) -> bytes:
  file = io.BytesIO()
  image.save(file, **options)
  return file.getvalue()
