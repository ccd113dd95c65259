"""Recolour the pasted object of a composite, so that it fits.

Recolours the part of an image that its mask marks (white), so that it fits the
rest, at the image's own size. Everything else stays as it is. Colours are those
of the image's own profile, which is kept, as are its other metadata.

examples:
  hdnet harmonize composite.jpg mask.png  # makes composite_harmonized.png
  hdnet harmonize composite.jpg mask.png -o out.png --weights runs/quickstart
  hdnet harmonize composite.png mask.png -o out.png --strength 0.7 --compare
  hdnet harmonize composite.png --mask-from-alpha -o out.png
  hdnet harmonize --input-dir composites --mask-dir masks --output-dir out
  hdnet harmonize --input-dir both --output-dir out --format png
  curl -s URL | hdnet harmonize - mask.png -o - > out.png
"""

import argparse
import collections
import os
import pathlib
import typing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from hdnet_jax.app.cli import arguments
from hdnet_jax.atomic_write import with_end, write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, line, tell

if typing.TYPE_CHECKING:
  import numpy as np

  from hdnet_jax.inference.folder import Pair
  from hdnet_jax.inference.harmonizer import Harmonizer

_MAX_THREADS = 4  # each holds a photo, some 300 MB of 12 megapixels


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(
    commands, "harmonize", __doc__, _harmonize, failure=2
  )
  arguments.add(parser, "COMPOSITE", "image, or - for stdin", nargs="?")
  arguments.add(parser, "MASK", "mask of its size; white is changed", nargs="?")
  arguments.add(
    parser,
    "-o --output OUT",
    "image to write; its extension says the format; - for stdout (default: "
    "COMPOSITE's name with _harmonized.png)",
  )
  _add_folders(parser)
  arguments.add_image_format(parser)
  for names, help in (
    ("--force", "replace files that exist"),
    ("--compare", "also write NAME_compare.png: before beside after"),
    (
      "--mask-from-alpha",
      "the composite's own alpha is the mask, and MASK is left out; what it "
      "hides is the background",
    ),
  ):
    arguments.add(parser, names, help, False)
  arguments.add_mask_flags(parser, "image")
  arguments.add_changes(parser)


def _add_folders(parser: argparse.ArgumentParser) -> None:
  for names, help in (
    ("--input-dir DIR", "folder of composites, searched in depth"),
    (
      "--mask-dir DIR",
      "folder of their masks: of a.jpg it is a.png, a_mask.png, a.jpg.png, ...;"
      " of a_1.jpg, where it has none, a.png; or one file for all (default: "
      "--input-dir)",
    ),
    ("--output-dir DIR", "folder to write to; what it has already is skipped"),
  ):
    arguments.add(parser, names, help, type=pathlib.Path)
  arguments.add(
    parser,
    "--mask-suffix END",
    "end of the masks' names, such as _seg; as --mask-suffix=-m where it "
    "begins with a hyphen",
  )
  skip = "skip what --output-dir has, also with --force"
  arguments.add(parser, "--skip-existing", skip, False)


def _harmonize(options: argparse.Namespace) -> None:
  folders = (
    *(options.input_dir, options.mask_dir, options.output_dir),
    options.mask_suffix,
  )
  files = (options.composite, options.mask, options.output)
  if any(folders) and any(files):
    raise UserError(
      "give COMPOSITE and MASK, or --input-dir, --mask-dir and "
      "--output-dir; not both"
    )
  if options.mask_from_alpha and (options.mask or options.mask_dir):
    raise UserError("give a mask or --mask-from-alpha, not both")
  if any(folders):
    if not (options.input_dir and options.output_dir):
      raise UserError("give both --input-dir and --output-dir")
    _harmonize_folder(options)
    return
  if not (options.composite and (options.mask or options.mask_from_alpha)):
    raise UserError("give COMPOSITE and MASK; --help has examples")
  if options.composite == options.mask == arguments.STREAM:
    raise UserError("only one of COMPOSITE and MASK can be stdin")
  name = options.output or _default_output(options.composite, options.format)
  with arguments.output_path(name, options.format) as path:
    mask = arguments.read_source(options.mask) if options.mask else None
    composite = arguments.read_source(options.composite)
    for note in _harmonize_file(
      composite,
      mask,
      path,
      arguments.load_network(options),
      options,
      options.force,
    ):
      tell(note)
    if not options.output:
      print(path)


def _default_output(composite: str, format: str | None) -> str:
  """Name a file beside the composite, whose own name stays whole."""
  if composite == arguments.STREAM:
    raise UserError("give --output: stdin has no name to derive one from")
  end = f"_harmonized.{format or 'png'}"
  return str(with_end(pathlib.Path(composite), end))


def _harmonize_file(
  composite: str | pathlib.Path | bytes,
  mask: str | pathlib.Path | bytes | None,
  output: pathlib.Path,
  network: "Harmonizer",
  options: argparse.Namespace,
  force: bool,
) -> list[str]:
  """Harmonize an image file; return what is to be said about it.

  Args:
    mask: None for the composite's own alpha.
    force: whether files that exist are replaced.
  """
  from hdnet_jax.images import masks, writing
  from hdnet_jax.images.mask_reading import mask_of_alpha, read_mask
  from hdnet_jax.images.reading import read_picture

  picture = read_picture(composite)
  # What cannot be written is found before anything is computed.
  writing.check_output(picture, output, options.quality, force)
  if options.compare:
    writing.check_free(_comparison(output), force)
  if mask is None:
    pixels_mask, mask_notes = mask_of_alpha(picture, options.invert_mask)
    alpha = None
  else:
    pixels_mask, mask_notes = read_mask(
      mask,
      picture.size,
      options.resize_mask,
      options.invert_mask,
      picture.orientation,
    )
    alpha = picture.alpha
  notes = [*picture.notes, *mask_notes]
  if report := masks.report(pixels_mask, "give --invert-mask", alpha):
    notes.append(report)
  change = arguments.change_options(options)
  pixels = network.harmonize(picture.pixels, pixels_mask, change, alpha)
  changed = change.region(pixels_mask)
  notes += writing.write_picture(
    picture, pixels, output, options.quality, changed, force
  )
  if options.compare:
    _write_comparison(picture.pixels, pixels, _comparison(output))
  return notes


def _comparison(output: pathlib.Path) -> pathlib.Path:
  """Where --compare puts before beside after."""
  return with_end(output, "_compare.png")


def _write_comparison(
  before: "np.ndarray", after: "np.ndarray", path: pathlib.Path
) -> None:
  import numpy as np
  from PIL import Image

  from hdnet_jax.images.color import to_uint8

  # Of 8 bits: it is a picture to look at.
  both = to_uint8(np.concatenate([before, after], axis=1))
  write_then_rename(path, Image.fromarray(both).save)


def _harmonize_folder(options: argparse.Namespace) -> None:
  """Harmonize a folder; a bad file is told, and does not stop the rest."""
  from hdnet_jax.inference.folder import plan

  work = plan(
    *(options.input_dir, options.mask_dir, options.output_dir),
    options.mask_suffix,
    _comparison if options.compare else None,
    f".{options.format}" if options.format else None,
    options.mask_from_alpha,
  )
  failures = work.failures
  for note in work.notes:
    tell(note)
  network = arguments.load_network(options)
  counts = collections.Counter()

  def harmonize(pair: "Pair") -> tuple[str, list[str]]:
    """Return what became of a pair, and what is to be said about it."""
    if _is_done(pair.output, options):
      return "skipped", []
    try:
      # A stopped run may have left one of two files: it is replaced.
      return "done", _harmonize_file(
        pair.composite, pair.mask, pair.output, network, options, True
      )
    except UserError as error:
      return "failed", [str(error)]

  with ProgressBar("harmonizing", len(work.pairs)) as bar:
    results = _in_threads(harmonize, work.pairs)
    for pair, (fate, words) in zip(work.pairs, results, strict=True):
      counts[fate] += 1
      bar.advance()
      if fate == "failed":
        failures += words
        continue
      for note in words:
        bar.print(line(f"{pair.composite}: {note}"))
  done, skipped = counts["done"], counts["skipped"]
  for failure in failures:
    tell(f"error: {failure}")
  if skipped and not options.skip_existing:
    tell("what exists was skipped; --force replaces it")
  print(f"{done:,} harmonized, {skipped:,} skipped, {len(failures):,} failed")
  if failures:
    raise SystemExit(2)


def _in_threads(run: Callable, items: Iterable) -> Iterator:
  """Yield the results of `run` in order; a few are at work at a time.

  So one photo is decoded while another is in the network. What is not begun
  when the caller stops is left.
  """
  threads = min(os.cpu_count() or 1, _MAX_THREADS)
  waiting: collections.deque[Future] = collections.deque()
  with ThreadPoolExecutor(threads) as pool:
    for item in items:
      waiting.append(pool.submit(run, item))
      if len(waiting) > threads:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()


def _is_done(output: pathlib.Path, options: argparse.Namespace) -> bool:
  """Whether an earlier run, stopped or not, wrote all of it."""
  if options.force and not options.skip_existing:
    return False
  return os.path.exists(output) and (
    not options.compare or os.path.exists(_comparison(output))
  )
