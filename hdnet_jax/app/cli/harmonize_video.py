"""`hdnet harmonize-video`: the pasted object of a video made to look right."""

import argparse
import importlib.util
import pathlib
import sys

from hdnet_jax.app.cli.harmonize import add_changes, change_options
from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import ProgressBar, tell


def add(commands) -> None:
  parser = add_parser(
    commands,
    "harmonize-video",
    help="recolour the pasted object of a video, so that it fits",
    description="Recolours the part of a video that its masks mark (white), so "
    "that it fits the rest. Every frame keeps its time, and sound and "
    "subtitles are copied. What is not white is not changed, but the video is "
    "encoded anew, so that it is not the same bit by bit: H.264 in .mp4, .m4v, "
    ".mov and .mkv, VP9 in .webm. Colours stay in their matrix and range.",
    epilog="""examples:
  hdnet harmonize-video in.mp4 masks/ -o out.mp4 --weights runs/quickstart
  hdnet harmonize-video in.mp4 mask.mp4 -o out.mp4 --smoothing 1
  hdnet harmonize-video in.mp4 mask.png -o out.webm --strength 0.7
  hdnet harmonize-video in.mov mask.png -o out.mov --chroma source""",
  )
  parser.add_argument("video", metavar="VIDEO", help="video to harmonize")
  parser.add_argument(
    "masks",
    metavar="MASKS",
    help="folder of mask images, one a frame, in the order of their names "
    "(frame_9 before frame_10); or a video of masks; or one image for all. Of "
    "the size that the video is shown in; white is changed",
  )
  parser.add_argument(
    "-o",
    "--output",
    required=True,
    type=pathlib.Path,
    metavar="OUT",
    help="video to write; its extension says the format",
  )
  parser.add_argument(
    "--invert-mask", action="store_true", help="black is the object"
  )
  parser.add_argument(
    "--resize-mask",
    action="store_true",
    help="resize masks of the video's shape and another size",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT where it exists"
  )
  parser.add_argument(
    "--quality",
    type=int,
    metavar="CRF",
    help="constant rate factor, less is better: 0 to 51 of H.264 (default: "
    "17), 0 to 63 of VP9 (default: 20)",
  )
  parser.add_argument(
    "--chroma",
    choices=("420", "source"),
    help="420: 8 bits and colours of half the size (yuv420p), and a pixel more "
    "where a side is odd: QuickTime and phones play no other H.264 (default of "
    ".mp4, .m4v and .mov); source: bits and colours as the video has them "
    "(default of .mkv and .webm)",
  )
  parser.add_argument(
    "--smoothing",
    type=float,
    default=0.5,
    metavar="SECONDS",
    help="time over which the change of colours is smoothed, so that nothing "
    "flickers; it starts anew where the scene is cut; 0 is off (default: 0.5)",
  )
  add_changes(parser)
  parser.set_defaults(run=_harmonize_video, failure=2)


def _harmonize_video(options: argparse.Namespace) -> None:
  if importlib.util.find_spec("av") is None:
    raise UserError('hdnet harmonize-video needs PyAV; pip install ".[video]"')
  if options.mode != "guided":
    raise UserError(
      "--mode direct is not for videos: only what guided makes can be smoothed "
      "over time; leave it out"
    )
  from hdnet_jax.app.video import harmonize, reading, writing
  from hdnet_jax.app.video.frame_masks import FrameMasks
  from hdnet_jax.inference.harmonizer import Harmonizer

  # What is cheap to find is found first.
  writing.check_output(options.output, options.quality, options.force)
  clip = reading.inspect(options.video)
  masks = FrameMasks(
    options.masks, clip, options.resize_mask, options.invert_mask
  )
  harmonizer = harmonize.FrameHarmonizer(
    Harmonizer.from_pretrained(options.weights),
    change_options(options),
    options.smoothing,
  )
  try:
    notes = _show(clip, masks, harmonizer, options)
  except KeyboardInterrupt:
    print("stopped; nothing was written", file=sys.stderr)
    raise SystemExit(130) from None
  for note in notes:
    tell(note)


def _show(clip, masks, harmonizer, options: argparse.Namespace) -> list[str]:
  """Harmonizes under a progress bar."""
  from hdnet_jax.app.video.harmonize import harmonize_video

  with ProgressBar("harmonizing", clip.frames) as bar:
    return harmonize_video(
      clip,
      masks,
      options.output,
      harmonizer,
      options.quality,
      bar.advance,
      options.chroma,
    )
