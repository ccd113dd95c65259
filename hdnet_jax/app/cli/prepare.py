"""Check a data set and make it ready for training.

examples:
  hdnet prepare iharmony4 --root data/iharmony4 --image-size 256
  hdnet prepare photos --root data/photos --skip-bad
"""

import argparse
import pathlib
import shlex
import typing
from collections.abc import Sequence

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, tell

if typing.TYPE_CHECKING:
  from hdnet_jax.data.prepare.checks import Fault


def add(commands: arguments.Commands) -> None:
  prepare = arguments.add_command(commands, "prepare", __doc__, None)
  data = prepare.add_subparsers(required=True, metavar="DATA")
  _add_iharmony4(data)
  _add_photos(data)


def _add_iharmony4(data: arguments.Commands) -> None:
  parser = arguments.add_command(
    data, "iharmony4", _prepare_iharmony4.__doc__, _prepare_iharmony4
  )
  arguments.add(
    parser,
    "--image-size",
    "side of the square that images are resized to",
    choices=("256", "1024", "2048", "native"),
  )
  parser.add_argument(
    "--subset",
    nargs="+",
    default=[],
    metavar="NAME",
    help="HCOCO, HAdobe5k, HFlickr, Hday2night (default: all)",
  )
  output = "folder of the prepared data set (default: that of --root)"
  arguments.add(parser, "--output DIR", output, type=pathlib.Path)
  _add_common(parser)


def _add_photos(data: arguments.Commands) -> None:
  parser = arguments.add_command(
    data, "photos", _prepare_photos.__doc__, _prepare_photos
  )
  pack = "also write one compact .zip file, which trains like the folder"
  arguments.add(parser, "--pack FILE", pack, type=pathlib.Path)
  arguments.add(parser, "--pack-size N", "pixels of its square photos", 256)
  _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
  root = "folder of the data set"
  arguments.add(parser, "--root DIR", root, type=pathlib.Path, required=True)
  parser.add_argument(
    "--workers", type=int, default=0, help="processes (default: one a core)"
  )
  parser.add_argument(
    "--max-pixels",
    type=int,
    default=89_000_000,
    help="refuse larger images (default: 89 million)",
  )
  group = parser.add_mutually_exclusive_group()
  for name, help in (
    ("--strict", "refuse a data set with faults (the default)"),
    ("--skip-bad", "leave out what is bad, and list it in skipped.csv"),
  ):
    arguments.add(group, name, help, False)


def check_options(options: argparse.Namespace, subsets: Sequence[str] = ()):
  """Check the flags of both data sets; return the preparation's options."""
  from hdnet_jax.data.prepare.checks import Options

  for name in ("workers", "max_pixels"):
    value, least = getattr(options, name), int(name == "max_pixels")
    if value < least:
      flag = name.replace("_", "-")
      raise UserError(f"--{flag} must be {least} or more, not {value}")
  if not options.root.is_dir():
    raise UserError(f"--root {options.root} is not a folder")
  return Options(
    subsets=tuple(subsets),
    workers=options.workers,
    strict=not options.skip_bad,
    max_pixels=options.max_pixels,
  )


def _prepare_iharmony4(options: argparse.Namespace) -> None:
  """Prepare iHarmony4, as it is published.

  Checks every file of iHarmony4, resizes the images, and writes a data set that
  trains at full speed. An interrupted preparation continues with the same
  command.

  examples:
    hdnet prepare iharmony4 --root data/iharmony4
    hdnet prepare iharmony4 --root data/iharmony4 --image-size 1024 \\
        --subset HAdobe5k --workers 16
  then:
    hdnet train --config=hdnet \\
        --config.data.root=data/iharmony4
  """
  from hdnet_jax.data.iharmony4 import NAME, VERSION, check_subsets
  from hdnet_jax.data.prepare import checks

  settings = check_options(options, options.subset)
  subsets = check_subsets(options.subset)
  output = options.output or options.root
  folder = output / NAME / options.image_size / VERSION
  if folder.is_dir():
    from hdnet_jax.data.prepare.builder import check_complete

    check_complete(folder, options.root, subsets)
    print(f"{folder} is prepared already")
    return

  from hdnet_jax.data.prepare.builder import build

  builder, faults = build(options.root, output, options.image_size, settings)
  if faults:
    checks.write_csv(output / "skipped.csv", faults)
    _print_skipped(faults, output)
  for name, split in sorted(builder.info.splits.items()):
    print(f"{name:17s}{split.num_examples:7,d}")
  print(f"prepared in  {folder}")
  flags = [f"--config.data.root={shlex.quote(str(output))}"]
  if options.image_size not in ("256", "native"):
    flags.append(f"--config.data.image_size={options.image_size}")
  if options.subset:
    flags.append(f'--config.data.subsets="{subsets}"')
  print("train with  ", *flags)


def _prepare_photos(options: argparse.Namespace) -> None:
  """Prepare a folder of photos with object masks.

  Checks images/ and masks/ and writes manifest.csv. A mask is named as its
  photo, with or without _NUMBER, _mask or the photo's extension (a.png,
  a_1.png, a_mask.png, a.jpg.png); white is the object.

  examples:
    hdnet prepare photos --root data/photos
    hdnet prepare photos --root data/photos --pack photos.zip --pack-size 256
  then:
    hdnet train --config=photos --config.data.root=data/photos
    hdnet train --config=photos --config.data.root=photos.zip
  """
  from hdnet_jax.data import archive
  from hdnet_jax.data.prepare.photos import prepare_photos

  if options.pack is not None and not archive.is_archive(options.pack):
    raise UserError(f"--pack {options.pack} must end in {archive.SUFFIX}")
  if options.pack_size < 8:
    raise UserError(f"--pack-size must be 8 or more, not {options.pack_size}")
  checked = prepare_photos(options.root, check_options(options))
  for note in checked.notes:
    tell(note)
  if checked.faults:
    _print_skipped(checked.faults, options.root)
  if turned := checked.turned:
    print(
      f"note: {len(turned):,} photos are turned upright by their EXIF data, "
      "and their masks are taken to be upright already: "
      f"{', '.join(turned[:3])}"
      f"{', ...' if len(turned) > 3 else ''}"
    )
  photos = len({row["image"] for row in checked.rows})
  print(
    f"{len(checked.rows):,} objects of {photos:,} photos in "
    f"{options.root / 'manifest.csv'}"
  )
  if options.pack is not None:
    _pack(options, checked.rows)


def _print_skipped(faults: list["Fault"], folder: pathlib.Path) -> None:
  from hdnet_jax.data.prepare import checks

  print(f"left out: {checks.summary(faults)}")
  print(f"listed in  {folder / 'skipped.csv'}")


def _pack(options: argparse.Namespace, rows: Sequence[dict[str, str]]) -> None:
  from hdnet_jax.data import archive

  with ProgressBar("packing", len(rows)) as bar:
    archive.pack(
      options.root, rows, options.pack, options.pack_size, bar.advance
    )
  size = options.pack.stat().st_size / 2**20
  print(f"packed in  {options.pack} ({size:.1f} MiB)")
