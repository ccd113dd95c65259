"""Tiny videos, made for the tests."""

from fractions import Fraction

import numpy as np
import pytest

RATE = 25
SOUND_RATE = 44100


@pytest.fixture
def make_clip(rng):
  """Writes a video of noisy blocks; returns the frames that it was made of."""
  av = pytest.importorskip("av")

  def make(
    path,
    count=12,
    size=(64, 48),
    times=None,
    sound=False,
    turn=0,
    codec="libx264",
    pixels="yuv420p",
    options=None,
    **tags,
  ) -> list[np.ndarray]:
    tick = Fraction(1, RATE)
    width, height = size
    coarse = rng.integers(60, 200, (-(-height // 8), -(-width // 8), 3))
    still = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    frames = []
    with av.open(str(path), "w") as output:
      options = options or {"crf": "10"}
      video = output.add_stream(codec, RATE, options, time_base=tick)
      video.width, video.height, video.pix_fmt = width, height, pixels
      for name, value in tags.items():
        setattr(video, name, value)
      if turn:
        video.set_display_rotation(turn)
      audio = output.add_stream("aac", SOUND_RATE) if sound else None
      for index, time in enumerate(times or range(count)):
        noisy = still + rng.normal(0, 3, still.shape)
        if pixels == "gray":
          noisy = np.full((height, width, 3), 255 * (index % 2))
        frames.append(noisy.clip(0, 255).astype(np.uint8))
        frame = av.VideoFrame.from_ndarray(frames[-1]).reformat(
          format=pixels,
          dst_colorspace=tags.get("colorspace"),
          dst_color_range=tags.get("color_range"),
        )
        frame.pts, frame.time_base = time, tick
        output.mux(video.encode(frame))
      output.mux(video.encode(None))
      if audio:
        for start in range(0, count * SOUND_RATE // RATE, 1024):
          wave = np.sin(np.arange(start, start + 1024, dtype=np.float32) / 20)
          samples = av.AudioFrame.from_ndarray(
            np.stack([wave, wave]) / 10, format="fltp", layout="stereo"
          )
          samples.sample_rate, samples.pts = SOUND_RATE, start
          output.mux(audio.encode(samples))
        output.mux(audio.encode(None))
    return frames

  return make
