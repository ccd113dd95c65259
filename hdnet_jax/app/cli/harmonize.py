"""Recolour the pasted object of a composite, so that it fits.

Recolours the part of an image that its mask marks (white), so that it fits the
rest, at the image's own size. Everything else stays as it is. Colours are those
of the image's own profile, which is kept, as are its other metadata.

examples:
  hdnet harmonize composite.jpg mask.png  # makes composite_harmonized.png
  hdnet harmonize composite.jpg mask.png -o out.png --weights runs/quickstart
  hdnet harmonize composite.jpg mask.png --preview  # a strip of strengths
  hdnet harmonize composite.png mask.png -o out.png --strength 1.25 --compare
  hdnet harmonize composite.png --mask-from-alpha -o out.png
  hdnet harmonize --input-dir composites --mask-dir masks --output-dir out
  hdnet harmonize --input-dir both --output-dir out --format png
  hdnet harmonize --input-dir both --output-dir out --shard 3/16
  hdnet harmonize --watch inbox --output-dir out
  curl -s URL | hdnet harmonize - mask.png -o - > out.png
"""

import argparse
import pathlib
from concurrent.futures import ThreadPoolExecutor

from hdnet_jax.app.cli import arguments
from hdnet_jax.app.cli.harmonize_files import default_end, harmonize_file
from hdnet_jax.app.cli.harmonize_folder import (
  RESULTS,
  harmonize_folder,
  watch_folder,
)
from hdnet_jax.atomic_write import with_end
from hdnet_jax.errors import UserError
from hdnet_jax.inference.strength import MAX_STRENGTH
from hdnet_jax.terminal import tell


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
    "COMPOSITE's name with _harmonized.png, or _preview.png)",
  )
  _add_folders(parser)
  arguments.add_image_format(parser)
  for names, help in (
    ("--force", "replace files that exist"),
    (
      "--preview",
      f"write no result, but a strip of it at strengths from 0 to "
      f"{MAX_STRENGTH:g}, and at --strength, small, to choose from; of a "
      "folder NAME_preview.png for each composite",
    ),
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
      "--watch DIR",
      "in place of --input-dir: harmonize what is in a folder, then what "
      "appears there or is saved anew, when it and its mask are whole; print "
      "each result's name; Ctrl-C ends it",
    ),
    (
      "--mask-dir DIR",
      "folder of their masks: of a.jpg it is a.png, a_mask.png, a.jpg.png, ...;"
      " of a_1.jpg, where it has none, a.png; or one file for all (default: "
      "where the composites are)",
    ),
    (
      "--output-dir DIR",
      "folder to write to; what it has already is skipped (default of --watch: "
      f"{RESULTS}, in it)",
    ),
  ):
    arguments.add(parser, names, help, type=pathlib.Path)
  arguments.add(
    parser,
    "--mask-suffix END",
    "end of the masks' names, such as _seg; as --mask-suffix=-m where it "
    "begins with a hyphen",
  )
  arguments.add(
    parser,
    "--shard K/N",
    "do the share K of N of the folder, K from 1 to N: with each K on a "
    "machine of its own, all is done once; a file that is added moves no other",
    "1/1",
  )
  skip = "skip what --output-dir has, also with --force"
  arguments.add(parser, "--skip-existing", skip, False)


def _harmonize(options: argparse.Namespace) -> None:
  _check(options)
  if options.watch:
    watch_folder(options)
  elif options.input_dir:
    harmonize_folder(options)
  else:
    _harmonize_one(options)


def _check(options: argparse.Namespace) -> None:
  """Raise UserError for what does not go together, or is out of range."""
  from hdnet_jax.images.writing import check_quality
  from hdnet_jax.inference.shard import Shard

  folder = options.input_dir or options.watch
  folders = (folder, options.mask_dir, options.output_dir, options.mask_suffix)
  files = (options.composite, options.mask, options.output)
  shard = Shard.parse(options.shard)
  if any(folders) and any(files):
    raise UserError(
      "give COMPOSITE and MASK, or --input-dir, --mask-dir and "
      "--output-dir; not both"
    )
  if options.input_dir and options.watch:
    raise UserError("give --input-dir or --watch, not both")
  if options.mask_from_alpha and (options.mask or options.mask_dir):
    raise UserError("give a mask or --mask-from-alpha, not both")
  if options.preview and options.compare:
    raise UserError(
      "give --preview or --compare, not both; the strip begins with strength 0"
    )
  if any(folders) and not (options.watch or (folder and options.output_dir)):
    raise UserError("give both --input-dir and --output-dir")
  if shard.count > 1 and not folder:
    raise UserError("--shard is a share of a folder; give --input-dir")
  # Check these once, not for each file.
  arguments.change_options(options)
  check_quality(options.quality)


def _harmonize_one(options: argparse.Namespace) -> None:
  if not (options.composite and (options.mask or options.mask_from_alpha)):
    raise UserError("give COMPOSITE and MASK; --help has examples")
  if options.composite == options.mask == arguments.STREAM:
    raise UserError("only one of COMPOSITE and MASK can be stdin")
  name = options.output or _default_output(options)
  with (
    arguments.output_path(name, options.format) as path,
    ThreadPoolExecutor(1) as pool,
  ):
    # Loads while the files are decoded.
    network = pool.submit(arguments.load_network, options)
    mask = arguments.read_source(options.mask) if options.mask else None
    composite = arguments.read_source(options.composite)
    for note in harmonize_file(
      composite, mask, path, network.result, options, options.force
    ):
      tell(note)
    if not options.output:
      print(path)


def _default_output(options: argparse.Namespace) -> str:
  """Return the composite's path with `default_end` for its extension."""
  if options.composite == arguments.STREAM:
    raise UserError("give --output: stdin has no name to derive one from")
  return str(with_end(pathlib.Path(options.composite), default_end(options)))
