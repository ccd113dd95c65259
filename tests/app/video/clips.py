"""Videos of noise, a network whose change is known, and what is in a file."""

import pathlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hdnet_jax.app.video import reading  # noqa: E402
from hdnet_jax.app.video.frame_masks import FrameMasks  # noqa: E402
from hdnet_jax.app.video.harmonize import (  # noqa: E402
  FrameHarmonizer,
  harmonize_video,
)
from hdnet_jax.inference.change import ChangeOptions  # noqa: E402

HEIGHT, WIDTH, COUNT = 48, 64, 12
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[10:40, 12:50] = True
TIMES = [0, 1, 3, 4, 7, 8, 9, 12, 13, 14, 16, 20]  # of a varying frame rate


class Brighter:
  """A network whose change is known: 0.1 more of every colour."""

  mode = "guided"

  def fit_maps(self, image, mask):
    maps = np.zeros((3, 4, 8, 8), np.float32)
    maps[:, 3] = 0.1
    return maps, np.zeros((8, 8, 3), np.float32)


def harmonize(
  source, masks, output, quality=None, watch=None, chroma=None, **options
):
  clip = reading.inspect(source)
  return harmonize_video(
    clip,
    FrameMasks(masks, clip),
    output,
    FrameHarmonizer(Brighter(), ChangeOptions(**options)),
    quality,
    watch or (lambda: None),
    chroma,
  )


def frames(path: pathlib.Path) -> list:
  with av.open(str(path)) as video:
    return list(video.decode(video=0))


def samples(path: pathlib.Path) -> np.ndarray:
  return np.stack([frame.to_ndarray() for frame in frames(path)])


def luma_change(source: pathlib.Path, output: pathlib.Path) -> np.ndarray:
  return (samples(output).astype(int) - samples(source))[:, :HEIGHT]


def changed_frames(source: pathlib.Path, output: pathlib.Path) -> list[int]:
  changed = (samples(source) != samples(output)).any(axis=(1, 2))
  return np.flatnonzero(changed).tolist()


def write_masks(path: pathlib.Path, masks) -> None:
  """Writes uint8 masks as a video without loss, or into a folder of images."""
  if not path.suffix:
    path.mkdir()
    for index, mask in enumerate(masks):
      Image.fromarray(mask).save(path / f"frame_{index}.png")
    return
  with av.open(str(path), "w") as video:
    stream = video.add_stream("ffv1", 25)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"
    for mask in masks:
      frame = av.VideoFrame.from_ndarray(mask, format="gray")
      video.mux(stream.encode(frame))
    video.mux(stream.encode(None))


def times(path: pathlib.Path) -> list[Fraction]:
  return [
    frame.pts * Fraction(frame.time_base.numerator, frame.time_base.denominator)
    for frame in frames(path)
  ]


def tags(path: pathlib.Path) -> tuple:
  with av.open(str(path)) as video:
    stream = video.streams.video[0]
    return (
      *(stream.pix_fmt, stream.width, stream.height),
      *(stream.color_range, stream.colorspace),
      *(stream.color_primaries, stream.color_trc),
      stream.sample_aspect_ratio,
    )
