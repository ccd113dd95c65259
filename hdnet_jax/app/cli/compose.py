"""Paste a cut-out on a photo, and harmonize it.

Pastes an image with transparency on a photo, and recolours it so that it fits.

examples:
  hdnet compose cutout.png photo.jpg --at 400,250 --scale 0.5 -o out.png \\
      --weights runs/quickstart
  hdnet compose - photo.jpg -o - < cutout.png > out.png
  hdnet compose cutout.png photo.jpg --at 400,250 --layer -o layer.png
"""

import argparse
import dataclasses
import math
import typing

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import tell

if typing.TYPE_CHECKING:
  import numpy as np

  from hdnet_jax.images.reading import Picture
  from hdnet_jax.inference.paste import Pasted


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
  arguments.add(
    parser,
    "--layer",
    "write the harmonized cut-out alone, in its place on a transparent image "
    "of the photo's size: a layer for an image editor",
    False,
  )
  arguments.add_force(parser)
  arguments.add_image_format(parser)
  arguments.add_changes(parser)


def _compose(options: argparse.Namespace) -> None:
  from hdnet_jax.images import masks, reading, writing
  from hdnet_jax.inference.paste import paste

  if not 0 < options.scale < math.inf:
    raise UserError(f"--scale is above 0, not {options.scale}")
  place = _parse_place(options.at)
  if options.layer and options.background:
    raise UserError("give --layer or --background, which changes the photo")
  if options.cutout == options.photo == arguments.STREAM:
    raise UserError("only one of CUTOUT and PHOTO can be stdin")
  cutout = reading.read_picture(arguments.read_source(options.cutout))
  photo = reading.read_picture(arguments.read_source(options.photo))
  with arguments.output_path(options.output, options.format) as path:
    written = _as_layer(photo) if options.layer else photo
    writing.check_output(written, path, options.quality, options.force)
    pasted = paste(cutout, photo, place, options.scale)
    notes = [*cutout.notes, *photo.notes, *pasted.notes]
    if report := masks.report(pasted.mask, "", pasted.photo.alpha):
      notes.append(report)
    harmonize = _harmonize_layer if options.layer else _harmonize
    picture, pixels = harmonize(pasted, options)
    # Pixels that are still the photo's are written as the photo has them.
    notes += writing.write_picture(
      picture, pixels, path, options.quality, force=options.force
    )
  for note in notes:
    tell(note)


def _harmonize(
  pasted: "Pasted", options: argparse.Namespace
) -> "tuple[Picture, np.ndarray]":
  """Return the photo, and the harmonized pixels for it."""
  network = arguments.load_network(options)
  change, photo = arguments.change_options(options), pasted.photo
  return photo, network.harmonize(
    pasted.pixels, pasted.mask, change, photo.alpha
  )


def _harmonize_layer(
  pasted: "Pasted", options: argparse.Namespace
) -> "tuple[Picture, np.ndarray]":
  """Return the harmonized object alone, and its pixels."""
  from hdnet_jax.inference.paste import lift, to_float

  network = arguments.load_network(options)
  change, alpha = arguments.change_options(options), pasted.photo.alpha
  # As floats: `lift` divides by alpha, which would magnify rounding.
  changed = network.harmonize(
    to_float(pasted.pixels),
    pasted.mask,
    change,
    None if alpha is None else to_float(alpha),
  )
  layer = lift(pasted, changed)
  return layer, layer.pixels


def _as_layer(photo: "Picture") -> "Picture":
  """Return a stand-in for the layer, to check if a file can hold it."""
  import numpy as np

  alpha = np.zeros_like(photo.pixels[..., 0])
  return dataclasses.replace(photo, alpha=alpha, own=None, name="a layer")


def _parse_place(text: str) -> tuple[int, int]:
  try:
    x, y = (int(number) for number in text.split(","))
  except ValueError:
    raise UserError(
      f"--at {text} is not X,Y in whole pixels, as in --at 400,250"
    ) from None
  return x, y
