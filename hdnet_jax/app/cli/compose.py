"""Paste a cut-out on a photo, and harmonize it.

Pastes an image with transparency on a photo, and recolours it so that it fits.

examples:
  hdnet compose cutout.png photo.jpg --at 400,250 --scale 0.5 -o out.png \\
      --weights runs/quickstart
  hdnet compose - photo.jpg -o - < cutout.png > out.png
"""

import argparse
import math

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import tell


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(
    commands, "compose", __doc__, _compose, failure=2
  )
  arguments.add(parser, "CUTOUT", "image with alpha, or - for stdin")
  arguments.add(parser, "PHOTO", "what it goes on, or - for stdin")
  output = "image to write, or - for stdout"
  arguments.add(parser, "-o --output OUT", output, required=True)
  arguments.add(
    parser,
    "--at X,Y",
    "where the cut-out's left upper corner goes, in pixels of the photo; as "
    "--at=-20,40 where it is negative",
    "0,0",
  )
  arguments.add(parser, "--scale S", "of the cut-out", 1.0)
  arguments.add_force(parser)
  arguments.add_image_format(parser)
  arguments.add_changes(parser)


def _compose(options: argparse.Namespace) -> None:
  from hdnet_jax.images import masks, reading, writing
  from hdnet_jax.inference.paste import paste

  if not 0 < options.scale < math.inf:
    raise UserError(f"--scale is above 0, not {options.scale}")
  place = _parse_place(options.at)
  if options.cutout == options.photo == arguments.STREAM:
    raise UserError("only one of CUTOUT and PHOTO can be stdin")
  cutout = reading.read_picture(arguments.read_source(options.cutout))
  photo = reading.read_picture(arguments.read_source(options.photo))
  with arguments.output_path(options.output, options.format) as path:
    writing.check_output(photo, path, options.quality, options.force)
    pasted = paste(cutout, photo, place, options.scale)
    notes = [*cutout.notes, *photo.notes, *pasted.notes]
    alpha = pasted.photo.alpha
    if report := masks.report(pasted.mask, "", alpha):
      notes.append(report)
    network = arguments.load_network(options)
    change = arguments.change_options(options)
    pixels = network.harmonize(pasted.pixels, pasted.mask, change, alpha)
    # Pixels that are still the photo's are written as the photo has them.
    notes += writing.write_picture(
      pasted.photo, pixels, path, options.quality, force=options.force
    )
  for note in notes:
    tell(note)


def _parse_place(text: str) -> tuple[int, int]:
  try:
    x, y = (int(number) for number in text.split(","))
  except ValueError:
    raise UserError(
      f"--at {text} is not X,Y in whole pixels, as in --at 400,250"
    ) from None
  return x, y
