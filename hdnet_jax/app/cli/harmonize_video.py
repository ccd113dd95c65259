"""Recolour the pasted object of a video, so that it fits.

Recolours the part of a video that its masks mark (white), so that it fits the
rest. Every frame keeps its time, and sound and subtitles are copied. What is
not white is not changed, but the video is encoded anew, so that it is not the
same bit by bit: H.264 in .mp4, .m4v, .mov and .mkv, VP9 in .webm. Colours stay
in their matrix and range.

examples:
  hdnet harmonize-video in.mp4 masks/ -o out.mp4 --weights runs/quickstart
  hdnet harmonize-video in.mp4 mask.mp4 -o out.mp4 --smoothing 1
  hdnet harmonize-video in.mp4 mask.png -o out.webm --strength 0.7
  hdnet harmonize-video in.mov mask.png -o out.mov --chroma source
"""

import argparse
import pathlib
import sys

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError, require
from hdnet_jax.terminal import ProgressBar, tell


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(
    commands, "harmonize-video", __doc__, _harmonize_video, failure=2
  )
  arguments.add(parser, "VIDEO", "video to harmonize")
  arguments.add(
    parser,
    "MASKS",
    "folder of mask images, one a frame, in the order of their names (frame_9 "
    "before frame_10); or a video of masks; or one image for all. Of the size "
    "that the video is shown in; white is changed",
  )
  arguments.add(
    parser,
    "-o --output OUT",
    "video to write; its extension says the format",
    type=pathlib.Path,
    required=True,
  )
  arguments.add_mask_flags(parser, "video")
  arguments.add_force(parser)
  arguments.add(
    parser,
    "--quality CRF",
    "constant rate factor, less is better: 0 to 51 of H.264 (default: 17), 0 "
    "to 63 of VP9 (default: 20)",
    type=int,
  )
  parser.add_argument(
    "--chroma",
    choices=("420", "source"),
    help="420: 8 bits and colours of half the size (yuv420p), and a pixel more "
    "where a side is odd: QuickTime and phones play no other H.264 (default of "
    ".mp4, .m4v and .mov); source: bits and colours as the video has them "
    "(default of .mkv and .webm)",
  )
  arguments.add(
    parser,
    "--smoothing SECONDS",
    "time over which the change of colours is smoothed, so that nothing "
    "flickers; it starts anew where the scene is cut; 0 is off",
    0.5,
  )
  arguments.add_changes(parser)


def _harmonize_video(options: argparse.Namespace) -> None:
  require("av", "hdnet harmonize-video")
  if options.mode != "guided":
    raise UserError(
      "--mode direct is not for videos: only what guided makes can be smoothed "
      "over time; leave it out"
    )
  from hdnet_jax.app.video import frame_masks, harmonize, reading, writing

  # What is cheap to find is found first.
  writing.check_output(options.output, options.quality, options.force)
  clip = reading.inspect(options.video)
  masks = frame_masks.FrameMasks(
    options.masks, clip, options.resize_mask, options.invert_mask
  )
  harmonizer = harmonize.FrameHarmonizer(
    arguments.load_network(options),
    arguments.change_options(options),
    options.smoothing,
  )
  try:
    with ProgressBar("harmonizing", clip.frames) as bar:
      notes = harmonize.harmonize_video(
        clip,
        masks,
        options.output,
        harmonizer,
        options.quality,
        bar.advance,
        options.chroma,
      )
  except KeyboardInterrupt:
    print("stopped; nothing was written", file=sys.stderr)
    raise SystemExit(130) from None
  for note in notes:
    tell(note)
