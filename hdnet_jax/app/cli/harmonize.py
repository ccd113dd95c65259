"""`hdnet harmonize`: composites made to look right, one or a folder of them."""

import argparse
import dataclasses
import os
import pathlib
from typing import Any

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.app.cli.streams import STREAM, add_format, output_path, source
from hdnet_jax.atomic_write import with_end, write_then_rename
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, line, tell


def add(commands) -> None:
  parser = add_parser(
    commands,
    "harmonize",
    help="recolour the pasted object of a composite, so that it fits",
    description="Recolours the part of an image that its mask marks (white), "
    "so that it fits the rest, at the image's own size. Everything else stays "
    "as it is. Colours are those of the image's own profile, which is kept, as "
    "are its other metadata.",
    epilog="""examples:
  hdnet harmonize composite.jpg mask.png  # makes composite_harmonized.png
  hdnet harmonize composite.jpg mask.png -o out.png --weights runs/quickstart
  hdnet harmonize composite.png mask.png -o out.png --strength 0.7 --compare
  hdnet harmonize composite.png --mask-from-alpha -o out.png
  hdnet harmonize --input-dir composites --mask-dir masks --output-dir out
  hdnet harmonize --input-dir both --output-dir out --format png
  curl -s URL | hdnet harmonize - mask.png -o - > out.png""",
  )
  _add_files(parser)
  _add_masks(parser)
  add_changes(parser)
  parser.set_defaults(run=_harmonize, failure=2)


def _add_files(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "composite", nargs="?", metavar="COMPOSITE", help="image, or - for stdin"
  )
  parser.add_argument(
    "mask", nargs="?", metavar="MASK", help="mask of its size; white is changed"
  )
  parser.add_argument(
    "-o",
    "--output",
    metavar="OUT",
    help="image to write; its extension says the format; - for stdout "
    "(default: COMPOSITE's name with _harmonized.png)",
  )
  add_format(parser)
  for name, what in (
    ("--input-dir", "folder of composites, searched in depth"),
    (
      "--mask-dir",
      "folder of their masks: of a.jpg it is a.png, a_mask.png, a.jpg.png, ...;"
      " of a_1.jpg, where it has none, a.png; or one file for all (default: "
      "--input-dir)",
    ),
    ("--output-dir", "folder to write to; what it has already is skipped"),
  ):
    parser.add_argument(name, type=pathlib.Path, metavar="DIR", help=what)
  parser.add_argument(
    "--mask-suffix",
    metavar="END",
    help="end of the masks' names, such as _seg; as --mask-suffix=-m where it "
    "begins with a hyphen",
  )
  parser.add_argument(
    "--skip-existing",
    action="store_true",
    help="skip what --output-dir has, also with --force",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace files that exist"
  )
  parser.add_argument(
    "--quality",
    type=int,
    default=95,
    metavar="Q",
    help="of JPEG and WebP, 1 to 100 (default: 95)",
  )
  parser.add_argument(
    "--compare",
    action="store_true",
    help="also write NAME_compare.png: before beside after",
  )


def _add_masks(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--invert-mask", action="store_true", help="black is the object"
  )
  parser.add_argument(
    "--resize-mask",
    action="store_true",
    help="resize masks of the image's shape and another size",
  )
  parser.add_argument(
    "--mask-from-alpha",
    action="store_true",
    help="the composite's own alpha is the mask, and MASK is left out; what it "
    "hides is the background",
  )


def add_changes(parser: argparse.ArgumentParser) -> None:
  """What is done to the object, of `compose`, too."""
  add_weights(parser)
  parser.add_argument(
    "--mode",
    default="guided",
    choices=("guided", "direct"),
    help="guided: the network sees a small image, and its change of colours is "
    "carried to the large one; direct: it sees the large one (default: guided)",
  )
  parser.add_argument(
    "--strength",
    type=float,
    default=1.0,
    metavar="S",
    help="0 to 1: how much of the change is made (default: 1)",
  )
  parser.add_argument(
    "--feather",
    type=float,
    default=0.0,
    metavar="PX",
    help="pixels over which the change rises from the mask's edge (default: 0)",
  )
  parser.add_argument(
    "--background",
    action="store_true",
    help="change the background to fit the object instead",
  )


def add_weights(parser: argparse.ArgumentParser) -> None:
  """Which network it is, of every command that harmonizes."""
  parser.add_argument(
    "--weights",
    default="hdnet-lite",
    metavar="NAME",
    help="a released network, a .safetensors file or a run's folder (default: "
    "hdnet-lite)",
  )


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
  if options.composite == options.mask == STREAM:
    raise UserError("only one of COMPOSITE and MASK can be stdin")
  name = options.output or _beside(options.composite, options.format)
  with output_path(name, options.format) as path:
    mask = source(options.mask) if options.mask else None
    task = _Task(source(options.composite), mask, path)
    for note in _do(task, load(options), options):
      tell(note)
    if not options.output:
      print(path)


def _beside(composite: str, format: str | None) -> str:
  """Where the result goes if nothing is said: no name is lost."""
  if composite == STREAM:
    raise UserError("give --output: stdin has no name to derive one from")
  end = f"_harmonized.{format or 'png'}"
  return str(with_end(pathlib.Path(composite), end))


@dataclasses.dataclass(frozen=True)
class _Task:
  """One image: where it is, where its mask is, where it goes."""

  composite: str | pathlib.Path | bytes
  mask: str | pathlib.Path | bytes | None  # None: the composite's own alpha
  output: pathlib.Path


def load(options: argparse.Namespace):
  """The network of --weights and --mode."""
  from hdnet_jax.inference.harmonizer import Harmonizer

  return Harmonizer.from_pretrained(options.weights, options.mode)


def _do(task: _Task, network, options: argparse.Namespace) -> list[str]:
  """Harmonizes an image; returns what is to be said about it."""
  from hdnet_jax.images import masks, writing
  from hdnet_jax.images.mask_reading import mask_of_alpha, read_mask
  from hdnet_jax.images.reading import read_picture

  picture = read_picture(task.composite)
  # What cannot be written is found before anything is computed.
  writing.check_output(picture, task.output, options.quality, options.force)
  comparison = _comparison(task.output)
  if options.compare:
    writing.check_free(comparison, options.force)
  if task.mask is None:
    mask, said = mask_of_alpha(picture, options.invert_mask)
  else:
    mask, said = read_mask(
      task.mask,
      picture.size,
      options.resize_mask,
      options.invert_mask,
      picture.orientation,
    )
  notes = [*picture.notes, *said]
  alpha = picture.alpha if task.mask is not None else None
  if report := masks.report(mask, "give --invert-mask", alpha):
    notes.append(report)
  pixels = change(network, picture.pixels, mask, alpha, options)
  changed = change_options(options).region(mask)
  notes += writing.write_picture(
    picture, pixels, task.output, options.quality, changed, options.force
  )
  if options.compare:
    _write_comparison(picture.pixels, pixels, comparison)
  return notes


def change(network, pixels, mask, alpha, options: argparse.Namespace) -> Any:
  """What the network makes of arrays, as the options say."""
  return network.harmonize(pixels, mask, change_options(options), alpha)


def change_options(options: argparse.Namespace) -> Any:
  """The `ChangeOptions` of the flags of `add_changes`."""
  from hdnet_jax.inference.change import ChangeOptions

  return ChangeOptions(options.strength, options.feather, options.background)


def _comparison(output: pathlib.Path) -> pathlib.Path:
  """Where --compare puts before beside after."""
  return with_end(output, "_compare.png")


def _write_comparison(before, after, path: pathlib.Path) -> None:
  import numpy as np
  from PIL import Image

  from hdnet_jax.images.color import to_uint8

  both = np.concatenate([before, after], axis=1)
  write_then_rename(path, Image.fromarray(to_uint8(both)).save)


def _harmonize_folder(options: argparse.Namespace) -> None:
  """All images of a folder; what is bad is told, and does not stop the rest."""
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
  network = load(options)
  # What is not skipped is made, also where a stopped run left one of two files.
  making = argparse.Namespace(**{**vars(options), "force": True})
  done = skipped = 0
  with ProgressBar("harmonizing", len(work.pairs)) as bar:
    for place, pair in enumerate(work.pairs):
      bar.update(place)
      if _is_done(pair.output, options):
        skipped += 1
        continue
      task = _Task(pair.composite, pair.mask, pair.output)
      try:
        for note in _do(task, network, making):
          bar.print(line(f"{task.composite}: {note}"))
        done += 1
      except UserError as error:
        failures.append(str(error))
    bar.update(len(work.pairs))
  for failure in failures:
    tell(f"error: {failure}")
  if skipped and not options.skip_existing:
    tell("what exists was skipped; --force replaces it")
  parts = [f"{done:,} harmonized", f"{skipped:,} skipped"]
  print(", ".join([*parts, f"{len(failures):,} failed"]))
  if failures:
    raise SystemExit(2)


def _is_done(output: pathlib.Path, options: argparse.Namespace) -> bool:
  """Whether an earlier run, stopped or not, made all of it."""
  if options.force and not options.skip_existing:
    return False
  return os.path.exists(output) and (
    not options.compare or os.path.exists(_comparison(output))
  )
