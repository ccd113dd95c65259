"""What is kept of a video file: times, sound, tags, pixels, other streams."""

import pathlib
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hdnet_jax.errors import UserError  # noqa: E402

from .clips import (  # noqa: E402
  COUNT,
  HEIGHT,
  INSIDE,
  TIMES,
  frames,
  harmonize,
  samples,
  tags,
  times,
)


def sound(path: pathlib.Path) -> list[tuple]:
  with av.open(str(path)) as video:
    return [
      (float(packet.pts * packet.time_base), bytes(packet))
      for packet in video.demux(audio=0)
      if packet.size
    ]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_times_sound_and_length_are_kept(tmp_path, make_clip, mask, name):
  source, output = tmp_path / "in.mp4", tmp_path / name
  make_clip(source, sound=True)
  assert harmonize(source, mask, output) == []
  # Matroska has no time before 0, and sound begins 1024 samples before it:
  # there all streams move together, and times are of milliseconds.
  shift = times(output)[0] - times(source)[0]
  assert 0 <= shift < (0.03 if name == "out.mkv" else 1e-9)
  expected = [float(time + shift) for time in times(source)]
  np.testing.assert_allclose(
    [float(time) for time in times(output)], expected, atol=0.0006
  )
  with av.open(str(source)) as before, av.open(str(output)) as after:
    assert before.streams.video[0].average_rate == 25
    assert after.streams.video[0].average_rate == 25
    length = after.duration - before.duration
    assert abs(length / av.time_base - float(shift)) < 0.025
  before, after = sound(source), sound(output)
  assert [packet for _, packet in before] == [packet for _, packet in after]
  np.testing.assert_allclose(
    [time for time, _ in after],
    [time + float(shift) for time, _ in before],
    atol=0.0012,
  )


def test_a_varying_frame_rate(tmp_path, make_clip, mask, output):
  source = tmp_path / "in.mp4"
  make_clip(source, times=TIMES)
  harmonize(source, mask, output)
  assert times(output) == [Fraction(time, 25) for time in TIMES]
  assert frames(output)[-1].duration == frames(source)[-1].duration


def test_tags_are_kept(tmp_path, make_clip, mask, output):
  source = tmp_path / "in.mp4"
  make_clip(
    source,
    colorspace=5,
    color_range=2,
    color_primaries=9,
    color_trc=16,
    sample_aspect_ratio=Fraction(4, 3),
  )
  harmonize(source, mask, output)
  assert tags(output) == tags(source)
  assert tags(source)[3:] == (2, 5, 9, 16, Fraction(4, 3))


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_rotation_is_kept_and_masks_are_upright(
  tmp_path, make_clip, turn, output
):
  source = tmp_path / "in.mp4"
  make_clip(source, turn=turn)
  upright = np.rot90(INSIDE, turn // 90).copy()
  upright[:5, :5] = True
  Image.fromarray(upright).save(tmp_path / "mask.png")
  harmonize(source, tmp_path / "mask.png", output, quality=0)
  before, after = (
    bytes(frames(path)[0].side_data["DISPLAYMATRIX"])
    for path in (source, output)
  )
  assert before == after
  assert abs(frames(output)[-1].rotation) == abs(turn)
  changed = samples(output) != samples(source)
  inside = np.rot90(upright, -turn // 90)
  assert changed[:, :HEIGHT][:, inside].all()
  assert not changed[:, :HEIGHT][:, ~inside].any()


@pytest.mark.parametrize(
  ("name", "pixels"), [("out.mp4", "yuv444p"), ("out.webm", "yuv420p")]
)
def test_odd_sizes(tmp_path, make_clip, name, pixels):
  source, output = tmp_path / "in.webm", tmp_path / name
  make_clip(source, size=(65, 49), codec="libvpx-vp9")
  Image.new("L", (65, 49), 255).save(tmp_path / "mask.png")
  notes = harmonize(source, tmp_path / "mask.png", output, chroma="source")
  assert tags(output)[:3] == (pixels, 65, 49)
  assert bool(notes) == (pixels == "yuv444p")  # what is not kept is told
  # In time units of MP4's own.
  np.testing.assert_allclose(
    [float(time) for time in times(output)], np.arange(COUNT) / 25, atol=1e-9
  )


@pytest.mark.parametrize(
  ("name", "codec", "pixels", "range"),
  [
    ("out.mp4", "libx264", "yuv444p", 1),
    ("out.m4v", "libx264", "yuv422p", 1),
    ("out.mov", "libx264", "yuv422p10le", 1),
    ("out.mp4", "libx264", "yuv420p10le", 1),
    ("out.mp4", "libx264", "yuv444p", 2),
    ("out.mp4", "ffv1", "bgr0", 2),
    ("out.mp4", "ffv1", "gray", 1),
  ],
)
def test_every_player_shows_an_mp4(
  tmp_path, make_clip, mask, name, codec, pixels, range
):
  source, output = tmp_path / "in.mkv", tmp_path / name
  options = {} if codec == "ffv1" else {"crf": "10"}
  make_clip(
    source, codec=codec, pixels=pixels, color_range=range, options=options
  )
  note, _ = harmonize(source, mask, output, quality=4, strength=0)
  assert note.endswith("--chroma source keeps them.")
  with av.open(str(output)) as video:
    stream = video.streams.video[0]
    assert stream.pix_fmt in ("yuv420p", "yuvj420p")
    assert stream.profile == "High"
  before, after = (
    np.stack([frame.to_ndarray(format="rgb24") for frame in frames(path)])
    for path in (source, output)
  )
  # Colours and their range are as they were: in another the slope is 0.86.
  before, after = before.astype(float), after.astype(float)
  assert np.abs((after - before).mean(axis=(0, 1, 2))).max() < 2
  slope, _ = np.polyfit(before.ravel(), after.ravel(), 1)
  assert slope == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("turn", [0, 90])
def test_odd_sides_of_an_mp4_get_a_pixel(tmp_path, make_clip, turn, output):
  source = tmp_path / "in.mp4"
  size = (65, 49)
  make_clip(source, size=size, pixels="yuv444p", turn=turn)
  mask = np.zeros(size if turn else size[::-1], np.uint8)
  mask[20:, 20:] = 255
  Image.fromarray(mask).save(tmp_path / "mask.png")
  notes = harmonize(source, tmp_path / "mask.png", output, quality=0)
  assert any("66x50, where the input's are 65x49" in note for note in notes)
  assert tags(output)[:3] == ("yuv420p", 66, 50)
  before = np.stack([frame.to_ndarray()[0] for frame in frames(source)])
  after = samples(output)[:, :50].astype(int)
  before, after = before.astype(int), after.astype(int)
  np.testing.assert_array_equal(after[:, :, 65], after[:, :, 64])
  np.testing.assert_array_equal(after[:, 49], after[:, 48])
  shown = np.rot90(mask, -1) if turn else mask
  change = after[:, :49, :65] - before
  assert not change[:, shown == 0].any()
  near = np.abs(change[:, shown > 0] - 0.1 * 219) < 1
  assert near.mean() > 0.99  # but for colours that are white after it
  assert frames(output)[0].rotation == frames(source)[0].rotation


def test_10_bits_where_the_encoder_has_none(tmp_path, make_clip, mask):
  source, output = tmp_path / "in.mp4", tmp_path / "out.webm"
  make_clip(source, pixels="yuv420p10le")
  (note,) = harmonize(source, mask, output)
  assert note == "Frames are yuv420p, where the input's are yuv420p10le."


def test_subtitles_are_copied_where_they_can_be(tmp_path, make_clip, mask):
  make_clip(tmp_path / "in.mp4")
  source = tmp_path / "in.mkv"
  with (
    av.open(str(tmp_path / "in.mp4")) as video,
    av.open(str(source), "w") as output,
  ):
    picture = output.add_stream_from_template(video.streams.video[0], True)
    text = output.add_mux_stream("subrip")
    text.metadata["language"] = "ger"
    line = av.Packet(b"a line")
    line.stream, line.time_base = text, Fraction(1, 1000)
    line.pts, line.dts, line.duration = 80, 80, 200
    output.mux(line)
    for packet in video.demux():
      if packet.size:
        packet.stream = picture
        output.mux(packet)
  assert harmonize(source, mask, tmp_path / "out.mkv") == []
  with av.open(str(tmp_path / "out.mkv")) as video:
    assert video.streams.subtitles[0].language == "ger"
    packet = next(video.demux(subtitles=0))
    assert (bytes(packet), packet.pts, packet.duration) == (b"a line", 80, 200)
  notes = harmonize(source, mask, tmp_path / "out.mp4")
  assert notes == ["Stream 1 (subtitle) is left out."]


def test_sound_that_the_container_does_not_take(tmp_path, make_clip, mask):
  source = tmp_path / "in.mp4"
  make_clip(source, sound=True)
  with pytest.raises(UserError, match=r"which is aac; choose .mkv"):
    harmonize(source, mask, tmp_path / "out.webm")
  assert not (tmp_path / "out.webm").exists()


@pytest.mark.parametrize("kind", ["tag", "format"])
def test_alpha_that_is_left_out_is_told(tmp_path, make_clip, mask, kind):
  source, output = tmp_path / "in.webm", tmp_path / "out.webm"
  if kind == "tag":
    make_clip(source, codec="libvpx-vp9")
    plain = source.rename(tmp_path / "plain.webm")
    with av.open(str(plain)) as video, av.open(str(source), "w") as tagged:
      stream = tagged.add_stream_from_template(video.streams.video[0])
      stream.metadata.update({"alpha_mode": "1", "BPS": "123", "title": "mine"})
      for packet in video.demux():
        if packet.size:
          packet.stream = stream
          tagged.mux(packet)
  else:
    source = tmp_path / "in.mkv"
    make_clip(source, codec="ffv1", pixels="yuva420p", options={})
  notes = harmonize(source, mask, output)
  assert "The video's transparency (alpha) is left out." in notes
  with av.open(str(output)) as video:
    tags = {
      name.lower(): v for name, v in video.streams.video[0].metadata.items()
    }
  assert "alpha_mode" not in tags
  assert "bps" not in tags
  if kind == "tag":
    assert tags["title"] == "mine"
