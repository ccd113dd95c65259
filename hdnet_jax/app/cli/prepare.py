"""`hdnet prepare`: a data set is checked and made ready for training."""

import argparse
import pathlib
import shlex
from collections.abc import Sequence

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, tell


def add(commands) -> None:
  prepare = add_parser(
    commands,
    "prepare",
    help="check a data set and make it ready for training",
    epilog="""examples:
  hdnet prepare iharmony4 --root data/iharmony4 --image-size 256
  hdnet prepare photos --root data/photos --skip-bad""",
  )
  kinds = prepare.add_subparsers(required=True, metavar="DATA")
  _add_iharmony4(kinds)
  _add_photos(kinds)


def _add_iharmony4(kinds) -> None:
  parser = add_parser(
    kinds,
    "iharmony4",
    help="iHarmony4, as it is published",
    description="Checks every file of iHarmony4, resizes the images, and "
    "writes a data set that trains at full speed. An interrupted preparation "
    "continues with the same command.",
    epilog="""examples:
  hdnet prepare iharmony4 --root data/iharmony4
  hdnet prepare iharmony4 --root data/iharmony4 --image-size 1024 \\
      --subset HAdobe5k --workers 16
then:
  python train.py --config=configs/hdnet.py \\
      --config.data.root=data/iharmony4""",
  )
  parser.add_argument(
    "--image-size",
    default="256",
    choices=("256", "1024", "2048", "native"),
    help="side of the square that images are resized to (default: 256)",
  )
  parser.add_argument(
    "--subset",
    nargs="+",
    default=[],
    metavar="NAME",
    help="HCOCO, HAdobe5k, HFlickr, Hday2night (default: all)",
  )
  parser.add_argument(
    "--output",
    type=pathlib.Path,
    help="folder of the prepared data set (default: that of --root)",
  )
  _add_common(parser)
  parser.set_defaults(run=_prepare_iharmony4)


def _add_photos(kinds) -> None:
  parser = add_parser(
    kinds,
    "photos",
    help="a folder of photos with object masks",
    description="Checks images/ and masks/ and writes manifest.csv. A mask is "
    "named as its photo, with or without _NUMBER, _mask or the photo's "
    "extension (a.png, a_1.png, a_mask.png, a.jpg.png); white is the object.",
    epilog="""examples:
  hdnet prepare photos --root data/photos
  hdnet prepare photos --root data/photos --pack photos.zip --pack-size 256
then:
  python train.py --config=configs/photos.py --config.data.root=data/photos
  python train.py --config=configs/photos.py --config.data.root=photos.zip""",
  )
  parser.add_argument(
    "--pack",
    type=pathlib.Path,
    metavar="FILE",
    help="also write one compact .zip file, which trains like the folder",
  )
  parser.add_argument(
    "--pack-size",
    type=int,
    default=256,
    metavar="N",
    help="pixels of its square photos (default: %(default)s)",
  )
  _add_common(parser)
  parser.set_defaults(run=_prepare_photos)


def _add_common(parser: argparse.ArgumentParser) -> None:
  parser.add_argument(
    "--root", type=pathlib.Path, required=True, help="folder of the data set"
  )
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
  group.add_argument(
    "--strict",
    action="store_true",
    help="refuse a data set with faults (the default)",
  )
  group.add_argument(
    "--skip-bad",
    action="store_true",
    help="leave out what is bad, and list it in skipped.csv",
  )


def options_of(options: argparse.Namespace, subsets: Sequence[str] = ()):
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
  from hdnet_jax.data.iharmony4 import NAME, VERSION, check_subsets
  from hdnet_jax.data.prepare import checks

  settings = options_of(options, options.subset)
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
    print(f"left out: {checks.summary(faults)}")
    print(f"listed in  {output / 'skipped.csv'}")
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
  from hdnet_jax.data import archive
  from hdnet_jax.data.prepare import checks
  from hdnet_jax.data.prepare.photos import prepare_photos

  if options.pack is not None and not archive.is_archive(options.pack):
    raise UserError(f"--pack {options.pack} must end in {archive.SUFFIX}")
  if options.pack_size < 8:
    raise UserError(f"--pack-size must be 8 or more, not {options.pack_size}")
  checked = prepare_photos(options.root, options_of(options))
  for note in checked.notes:
    tell(note)
  if checked.faults:
    print(f"left out: {checks.summary(checked.faults)}")
    print(f"listed in  {options.root / 'skipped.csv'}")
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


def _pack(options: argparse.Namespace, rows) -> None:
  from hdnet_jax.data import archive

  with ProgressBar("packing", len(rows)) as bar:
    archive.pack(
      options.root, rows, options.pack, options.pack_size, bar.advance
    )
  size = options.pack.stat().st_size / 2**20
  print(f"packed in  {options.pack} ({size:.1f} MiB)")
