"""The `hdnet` command; `hdnet_jax.app.cli` has a module for each of its."""

import argparse
import errno
import logging
import sys
import warnings
from collections.abc import Sequence

from hdnet_jax.app.cli import (
  ablation,
  compare,
  compose,
  convert,
  demo,
  export,
  export_weights,
  harmonize,
  harmonize_video,
  prepare,
  scorecard,
  show_examples,
)
from hdnet_jax.errors import UserError
from hdnet_jax.terminal import prepare_stdout, tell

COMMANDS = (
  *(harmonize, compose, harmonize_video, demo),
  *(prepare, show_examples, compare, scorecard, ablation),
  *(export_weights, export, convert),
)


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs `hdnet`; a user's mistake becomes one line and status 1, or 2."""
  prepare_stdout()
  logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax says much
  parser = make_parser()
  options = parser.parse_args(arguments)
  try:
    with warnings.catch_warnings():  # the process is ours, and this its start
      warnings.showwarning = _show
      options.run(options)
  except UserError as error:
    tell(f"error: {error}")
    raise SystemExit(getattr(options, "failure", 1)) from None
  except KeyboardInterrupt:
    print("stopped; the same command continues", file=sys.stderr)
    raise SystemExit(130) from None
  except OSError as error:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
      tell(
        f"error: the disk is full ({error}); make room, then the same command "
        "continues"
      )
    elif error.errno == errno.ENAMETOOLONG:
      tell(f"error: {error.filename} is too long a name; choose a shorter one")
    else:
      raise
    raise SystemExit(getattr(options, "failure", 1)) from None


def _show(message, *_) -> None:
  """A library's warning, as of a file that is damaged in part, in a line."""
  print("warning:", *str(message).split(), file=sys.stderr)


def make_parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="hdnet",
    description="HDNet: image harmonization.",
    formatter_class=argparse.RawDescriptionHelpFormatter,
    epilog="""examples:
  hdnet harmonize composite.jpg mask.png -o out.png --weights runs/quickstart
  hdnet compose cutout.png photo.jpg --at 400,250 -o out.png
  hdnet harmonize-video in.mp4 masks/ -o out.mp4 --weights mine.safetensors
  hdnet demo --weights mine.safetensors
  hdnet prepare iharmony4 --root data/iharmony4
  hdnet show-examples --config configs/quickstart.py -o sheet.png
  hdnet compare runs/base runs/hdnet
  hdnet scorecard runs/hdnet --genuine data/iharmony4 --photos data/photos
  hdnet ablation --workdir runs/ablation --config.data.root=data/iharmony4
  hdnet export-weights runs/hdnet hdnet.safetensors
  hdnet export hdnet.safetensors hdnet.onnx --uint8
  hdnet convert authors.pth hdnet.safetensors""",
  )
  commands = parser.add_subparsers(required=True, metavar="COMMAND")
  for command in COMMANDS:
    command.add(commands)
  return parser


if __name__ == "__main__":
  main()
