"""What `hdnet harmonize` makes of a composite's file, alone or in a folder."""

import argparse
import dataclasses
import os
import pathlib
import typing

from hdnet_jax.app.cli import arguments
from hdnet_jax.atomic_write import with_end

if typing.TYPE_CHECKING:
  from collections.abc import Callable

  import numpy as np

  from hdnet_jax.images.reading import Picture
  from hdnet_jax.inference.harmonizer import Harmonizer

Source = str | pathlib.Path | bytes


def default_end(options: argparse.Namespace) -> str:
  """Return the end that replaces the extension in a composite's name."""
  what = "preview" if options.preview else "harmonized"
  return f"_{what}.{options.format or 'png'}"


def comparison_of(output: pathlib.Path) -> pathlib.Path:
  """Return the path of the image that --compare writes for a result."""
  return with_end(output, "_compare.png")


def is_whole(output: pathlib.Path, options: argparse.Namespace) -> bool:
  """Return whether the result exists, and its comparison if asked for."""
  return os.path.exists(output) and (
    not options.compare or os.path.exists(comparison_of(output))
  )


def harmonize_file(
  composite: Source,
  mask: Source | None,
  output: pathlib.Path,
  load_network: "Callable[[], Harmonizer]",
  options: argparse.Namespace,
  force: bool,
) -> list[str]:
  """Harmonize a file as the options say; return notes for the user.

  Args:
    mask: None for the composite's own alpha.
    load_network: called when the files are read.
    force: whether files that exist are replaced.
  """
  from hdnet_jax.images import writing
  from hdnet_jax.images.reading import Picture, read_picture

  picture = read_picture(composite)
  # What cannot be written is found before anything is computed. A strip is
  # small, and has no alpha.
  kind = Picture(picture.pixels[:1, :1]) if options.preview else picture
  writing.check_output(kind, output, options.quality, force)
  if options.compare:
    writing.check_free(comparison_of(output), force)
  mask_values, alpha, notes = _read_mask(picture, mask, options)
  change, network = arguments.change_options(options), load_network()
  if options.preview:
    whole = dataclasses.replace(change, strength=1.0)
    pixels = network.harmonize(picture.pixels, mask_values, whole, alpha)
    notes += _write_preview(picture, pixels, alpha, output, options, force)
    return notes
  pixels = network.harmonize(picture.pixels, mask_values, change, alpha)
  changed = change.region(mask_values)
  notes += writing.write_picture(
    picture, pixels, output, options.quality, changed, force
  )
  if options.compare:
    _write_comparison(picture.pixels, pixels, comparison_of(output))
  return notes


def _read_mask(
  picture: "Picture", mask: Source | None, options: argparse.Namespace
) -> "tuple[np.ndarray, np.ndarray | None, list[str]]":
  """Return the mask, the alpha to harmonize with, and notes."""
  from hdnet_jax.images import masks
  from hdnet_jax.images.mask_reading import mask_of_alpha, read_mask

  if mask is None:
    values, notes = mask_of_alpha(picture, options.invert_mask)
    alpha = None
  else:
    values, notes = read_mask(
      mask,
      picture.size,
      options.resize_mask,
      options.invert_mask,
      picture.orientation,
    )
    alpha = picture.alpha
  notes = [*picture.notes, *notes]
  if report := masks.report(values, "give --invert-mask", alpha):
    notes.append(report)
  return values, alpha, notes


def _write_preview(
  before: "Picture",
  after: "np.ndarray",
  alpha: "np.ndarray | None",
  output: pathlib.Path,
  options: argparse.Namespace,
  force: bool,
) -> tuple[str, ...]:
  from hdnet_jax.images.metadata import Metadata
  from hdnet_jax.images.reading import Picture
  from hdnet_jax.images.writing import write_picture
  from hdnet_jax.inference.preview import draw_strip
  from hdnet_jax.inference.strength import PREVIEWED

  strengths = sorted({*PREVIEWED, options.strength})
  pixels = draw_strip(before.pixels, after, strengths, alpha)
  # In the colours of the photo.
  metadata = Metadata(icc=before.metadata.icc)
  strip = Picture(pixels, name=before.name, metadata=metadata)
  return write_picture(strip, pixels, output, options.quality, force=force)


def _write_comparison(
  before: "np.ndarray", after: "np.ndarray", path: pathlib.Path
) -> None:
  import numpy as np

  from hdnet_jax.images.color import to_uint8
  from hdnet_jax.images.reading import Picture
  from hdnet_jax.images.writing import write_picture

  # Of 8 bits: it is a picture to look at.
  both = to_uint8(np.concatenate([before, after], axis=1))
  write_picture(Picture(both), both, path, force=True)
