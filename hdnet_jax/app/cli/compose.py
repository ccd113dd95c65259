"""`hdnet compose`: a cut-out pasted on a photo, and harmonized."""

import argparse
import math

from hdnet_jax.app.cli.harmonize import add_changes, change, load
from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.app.cli.streams import STREAM, add_format, output_path, source
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import tell


def add(commands) -> None:
  parser = add_parser(
    commands,
    "compose",
    help="paste a cut-out on a photo, and harmonize it",
    description="Pastes an image with transparency on a photo, and recolours "
    "it so that it fits.",
    epilog="""examples:
  hdnet compose cutout.png photo.jpg --at 400,250 --scale 0.5 -o out.png \\
      --weights runs/quickstart
  hdnet compose - photo.jpg -o - < cutout.png > out.png""",
  )
  parser.add_argument(
    "cutout", metavar="CUTOUT", help="image with alpha, or - for stdin"
  )
  parser.add_argument(
    "photo", metavar="PHOTO", help="what it goes on, or - for stdin"
  )
  parser.add_argument(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="image to write, or - for stdout",
  )
  add_format(parser)
  parser.add_argument(
    "--at",
    default="0,0",
    metavar="X,Y",
    help="where the cut-out's left upper corner goes, in pixels of the photo "
    "(default: 0,0); as --at=-20,40 where it is negative",
  )
  parser.add_argument(
    "--scale",
    type=float,
    default=1.0,
    metavar="S",
    help="of the cut-out (default: 1)",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT where it exists"
  )
  parser.add_argument(
    "--quality", type=int, default=95, metavar="Q", help="as of hdnet harmonize"
  )
  add_changes(parser)
  parser.set_defaults(run=_compose, failure=2)


def _compose(options: argparse.Namespace) -> None:
  from hdnet_jax.images import masks, reading, writing
  from hdnet_jax.inference.paste import paste

  if not 0 < options.scale < math.inf:
    raise UserError(f"--scale is above 0, not {options.scale}")
  place = _place(options.at)
  if options.cutout == options.photo == STREAM:
    raise UserError("only one of CUTOUT and PHOTO can be stdin")
  cutout = reading.read_picture(source(options.cutout))
  photo = reading.read_picture(source(options.photo))
  with output_path(options.output, options.format) as path:
    writing.check_output(photo, path, options.quality, options.force)
    pasted = paste(cutout, photo, place, options.scale)
    notes = [*cutout.notes, *photo.notes, *pasted.notes]
    alpha = pasted.photo.alpha
    if report := masks.report(pasted.mask, "", alpha):
      notes.append(report)
    pixels = change(load(options), pasted.pixels, pasted.mask, alpha, options)
    # Pixels that are still the photo's are written as the photo has them.
    notes += writing.write_picture(
      pasted.photo, pixels, path, options.quality, force=options.force
    )
  for note in notes:
    tell(note)


def _place(text: str) -> tuple[int, int]:
  try:
    x, y = (int(number) for number in text.split(","))
  except ValueError:
    raise UserError(
      f"--at {text} is not X,Y in whole pixels, as in --at 400,250"
    ) from None
  return x, y
