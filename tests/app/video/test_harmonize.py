"""Videos harmonized: what is kept of them, and what changes."""

import gc
import os
import pathlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hdnet_jax.app.video import reading, writing  # noqa: E402
from hdnet_jax.app.video.frame_masks import FrameMasks  # noqa: E402
from hdnet_jax.app.video.harmonize import (  # noqa: E402
  FrameHarmonizer,
  harmonize_video,
)
from hdnet_jax.config import ModelConfig  # noqa: E402
from hdnet_jax.errors import UserError  # noqa: E402
from hdnet_jax.inference import guided_filter  # noqa: E402
from hdnet_jax.inference.change import ChangeOptions  # noqa: E402
from hdnet_jax.inference.engine_jax import JaxEngine  # noqa: E402
from hdnet_jax.inference.harmonizer import Harmonizer  # noqa: E402
from hdnet_jax.model.hdnet import HDNet  # noqa: E402

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


@pytest.fixture
def source(tmp_path, make_clip) -> pathlib.Path:
  make_clip(tmp_path / "in.mp4")
  return tmp_path / "in.mp4"


@pytest.fixture
def output(tmp_path) -> pathlib.Path:
  return tmp_path / "out.mp4"


@pytest.fixture
def mask(tmp_path) -> pathlib.Path:
  path = tmp_path / "mask.png"
  Image.fromarray(INSIDE).save(path)
  return path


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


def sound(path: pathlib.Path) -> list[tuple]:
  with av.open(str(path)) as video:
    return [
      (float(packet.pts * packet.time_base), bytes(packet))
      for packet in video.demux(audio=0)
      if packet.size
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


def test_the_object_changes_and_nothing_else(mask, source, output):
  harmonize(source, mask, output, quality=0)  # without loss
  luma = luma_change(source, output)
  np.testing.assert_allclose(luma[:, INSIDE], 0.1 * 219, atol=0.51)
  assert not luma[:, ~INSIDE].any()
  # A change of all colours by as much is none of Cb and Cr.
  before, after = samples(source), samples(output)
  np.testing.assert_array_equal(before[:, HEIGHT:], after[:, HEIGHT:])


def test_the_background_changes(mask, source, output):
  harmonize(source, mask, output, quality=0, background=True)
  changed = (samples(source) != samples(output))[:, :HEIGHT]
  assert changed[:, ~INSIDE].all()
  assert not changed[:, INSIDE].any()


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_strength_0_is_a_copy(tmp_path, make_clip, mask, pixels, output):
  source = tmp_path / "in.mp4"
  make_clip(source, pixels=pixels)
  notes = harmonize(source, mask, output, strength=0, chroma="source")
  assert len(notes) == 1  # that nothing is changed
  before, after = samples(source).astype(float), samples(output).astype(float)
  assert tags(output) == tags(source)
  peak = 1023 if pixels.endswith("10le") else 255
  error = after - before
  assert 10 * np.log10(peak**2 / np.mean(error**2)) > 38
  # No shift: of the luma, and of each of the colours.
  for part in np.array_split(error.reshape(COUNT, -1), 6, axis=1):
    assert abs(part.mean()) < 0.4 * (peak + 1) / 256


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


def test_masks_of_a_folder_in_order_of_their_numbers(tmp_path, source, output):
  white = np.full((HEIGHT, WIDTH), 255, np.uint8)
  masks = [white * (index in (2, 9, 10)) for index in range(COUNT)]
  write_masks(tmp_path / "masks", masks)
  (tmp_path / "masks/.hidden.png").write_bytes(b"")
  (tmp_path / "masks/notes.txt").write_text("no mask")
  hidden, note = harmonize(source, tmp_path / "masks", output, quality=0)
  assert hidden.startswith("1 hidden file is left out: ")
  assert note.startswith("1 file is not in a format that is read")
  assert "notes.txt" in note
  assert changed_frames(source, output) == [2, 9, 10]


def test_masks_of_a_video(tmp_path, make_clip, source, output):
  make_clip(tmp_path / "masks.mkv", pixels="gray")  # every other is white
  harmonize(source, tmp_path / "masks.mkv", output, quality=0)
  luma = luma_change(source, output)
  assert not luma[::2].any()
  np.testing.assert_allclose(luma[1::2], 0.1 * 219, atol=0.51)


@pytest.mark.parametrize(
  "name", [b"caf\xe9", b"a" * 249, b"new\nline", b"%03d", b"http:x"]
)
def test_every_name_is_taken(tmp_path, mask, name, source):
  name = os.fsdecode(name)
  video = source.rename(tmp_path / f"{name}.mp4")
  (tmp_path / "masks").mkdir()
  (tmp_path / "linked").symlink_to(tmp_path / "masks")
  for index in range(COUNT):
    (tmp_path / f"masks/{name[:240]}{index}.png").symlink_to(mask)
  output = tmp_path / f"{name}.mkv"
  assert harmonize(video, tmp_path / "linked", output) == []
  assert len(frames(output)) == COUNT


def test_a_gif_is_one_mask_or_moves(tmp_path, source, output):
  masks = [
    Image.fromarray(np.uint8(255 * INSIDE * (index % 2)))
    for index in range(COUNT)
  ]
  masks[1].save(tmp_path / "still.gif")
  harmonize(source, tmp_path / "still.gif", output, quality=0)
  assert changed_frames(source, output) == list(range(COUNT))
  output.unlink()
  # A frame like the one before would be joined with it.
  masks[0].save(tmp_path / "moves.gif", save_all=True, append_images=masks[1:])
  harmonize(source, tmp_path / "moves.gif", output, quality=0)
  assert changed_frames(source, output) == list(range(1, COUNT, 2))


def test_masks_that_do_not_fit(tmp_path, make_clip, mask, source):
  clip = reading.inspect(source)
  (tmp_path / "masks").mkdir()
  with pytest.raises(UserError, match="has no mask image"):
    FrameMasks(tmp_path / "masks", clip)
  Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "masks/1.png")
  Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "masks/2.png")
  with pytest.raises(UserError, match=r"has 2 masks and .*in.mp4 12 frames"):
    FrameMasks(tmp_path / "masks", clip)
  make_clip(tmp_path / "short.mp4", count=11)
  with pytest.raises(UserError, match=r"has 11 masks and .*in.mp4 12 frames"):
    FrameMasks(tmp_path / "short.mp4", clip)
  make_clip(tmp_path / "large.mp4", size=(128, 96))
  with pytest.raises(UserError, match="128x96 pixels and its image 64x48"):
    FrameMasks(tmp_path / "large.mp4", clip)
  resized = next(iter(FrameMasks(tmp_path / "large.mp4", clip, resize=True)))
  assert resized.shape == (HEIGHT, WIDTH)
  Image.new("L", (8, 8)).save(tmp_path / "small.png")
  with pytest.raises(UserError, match="8x8 pixels and its image 64x48"):
    FrameMasks(tmp_path / "small.png", clip)
  given = next(iter(FrameMasks(mask, clip)))
  inverted = next(iter(FrameMasks(mask, clip, invert=True)))
  np.testing.assert_array_equal(given, 1 - inverted)


def test_empty_masks_are_told(tmp_path, source, output):
  Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "mask.png")
  (note,) = harmonize(source, tmp_path / "mask.png", output)
  assert "Nothing is changed" in note
  assert len(frames(output)) == COUNT


def test_what_is_no_whole_video(tmp_path, make_clip):
  good = tmp_path / "good.mkv"
  make_clip(good, count=60, sound=True)
  data = good.read_bytes()
  (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
  make_clip(tmp_path / "good.mp4")
  data = (tmp_path / "good.mp4").read_bytes()
  (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
  (tmp_path / "text.mp4").write_text("no video")
  (tmp_path / "empty.mp4").write_bytes(b"")
  Image.new("L", (8, 8)).save(tmp_path / "image.jpg")
  with av.open(str(tmp_path / "sound.mp4"), "w") as output:
    audio = output.add_stream("aac", 44100)
    samples = av.AudioFrame.from_ndarray(
      np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
    )
    samples.sample_rate = 44100
    output.mux(audio.encode(samples))
    output.mux(audio.encode(None))
  for name, words in (
    ("cut.mkv", "cut off"),
    ("cut.mp4", "damaged"),
    ("text.mp4", "cannot be read as a video"),
    ("empty.mp4", "cannot be read as a video"),
    ("image.jpg", "hdnet harmonize"),
    ("sound.mp4", "no video stream"),
    ("nothing.mp4", "does not exist"),
    (".", "is a folder"),
  ):
    with pytest.raises(UserError, match=words):
      reading.inspect(tmp_path / name)


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


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError])
def test_nothing_is_left_behind(tmp_path, mask, error, source, output):
  output.write_text("as it was")
  before = sorted(tmp_path.iterdir())
  left = iter(range(5))

  def stop():
    if next(left, None) is None:
      raise error

  with pytest.raises(error):
    harmonize(source, mask, output, watch=stop)
  assert sorted(tmp_path.iterdir()) == before
  assert output.read_text() == "as it was"


def test_outputs_that_cannot_be(tmp_path):
  (tmp_path / "there.mp4").touch()
  for name, quality, words in (
    ("out.avi", None, "no format that can be written"),
    ("out.mp4", 52, "quality is 52 and must be 0 to 51"),
    ("out.webm", -1, "quality is -1 and must be 0 to 63"),
    ("there.mp4", None, "exists; give another path, or --force"),
    ("a" * 252 + ".mp4", None, "File name too long"),
  ):
    with pytest.raises(UserError, match=words):
      writing.check_output(tmp_path / name, quality, force=False)
  writing.check_output(tmp_path / "there.mp4", 17, force=True)


def test_few_frames_are_in_memory(tmp_path, make_clip, mask):
  make_clip(tmp_path / "in.mp4", count=40)
  gc.collect()  # of other tests
  alive, done = [], iter(range(40))

  def watch():
    if next(done) % 9 == 8:  # of 8, 17, 26 and 35 frames; looking takes time
      kinds = map(type, gc.get_objects())
      alive.append(sum(kind is av.VideoFrame for kind in kinds))

  harmonize(tmp_path / "in.mp4", mask, tmp_path / "out.mp4", watch=watch)
  # One is worked on; the last packet gives all that the decoder still has.
  assert len(alive) == 4
  assert max(alive[:2]) <= 4
  assert 1 <= max(alive) < 20


def flickering_network() -> Harmonizer:
  """Random weights, large enough that a little noise changes much."""
  image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
  shapes = jax.eval_shape(HDNet(2).init, jax.random.key(0), image, mask)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: 0.6 * rng.normal(size=leaf.shape), shapes["params"]
  )
  return Harmonizer(JaxEngine(params, ModelConfig(width=2)), 32)


def test_a_static_scene_does_not_flicker(rng):
  """Frame-to-frame change inside the mask, against the input's."""
  network = flickering_network()
  still = rng.uniform(0.2, 0.8, (6, 8, 3)).repeat(8, 0).repeat(8, 1)
  noise = rng.normal(0, 3 / 255, (COUNT, *still.shape))
  given = (still + noise).clip(0, 1).astype(np.float32)
  mask = INSIDE.astype(np.float32)

  def change(frames) -> float:
    return (
      np.abs(np.diff(frames, axis=0))[:, INSIDE].mean()
      / np.abs(np.diff(given, axis=0))[:, INSIDE].mean()
    )

  def harmonized(smoothing) -> float:
    harmonizer = FrameHarmonizer(network, smoothing=smoothing)
    changes = [
      harmonizer(lambda frame=frame: frame, mask, index / 25)
      for index, frame in enumerate(given)
    ]
    return change(given + np.stack(changes))

  maps = np.mean([network.fit_maps(frame, mask)[0] for frame in given], axis=0)
  held = change(
    np.stack([guided_filter.apply(maps, frame, mask) for frame in given])
  )
  assert harmonized(0) > 1.5
  smoothed = harmonized(0.5)
  assert smoothed <= 1.05
  # What is left is the noise that one map for all frames would pass, too.
  assert smoothed < held + 0.25


def test_only_guided_maps_can_be_smoothed():
  network = Brighter()
  network.mode = "direct"
  with pytest.raises(ValueError, match="mode guided"):
    FrameHarmonizer(network)


@pytest.mark.parametrize("name", ["mask.png", "masks", "masks.mkv"])
def test_masks_of_0_and_1(tmp_path, name, source, output):
  masks, mask = tmp_path / name, INSIDE.astype(np.uint8)
  if masks.suffix == ".png":
    Image.fromarray(mask).save(masks)
  else:
    write_masks(masks, [mask] * COUNT)
  (note,) = harmonize(source, masks, output, quality=0)
  assert note == f"{masks} has no value above 1: 1 is white in it."
  luma = luma_change(source, output)
  np.testing.assert_allclose(luma[:, INSIDE], 0.1 * 219, atol=0.51)
  assert not luma[:, ~INSIDE].any()


def test_specks_of_1_are_black_beside_white_masks(tmp_path, source, output):
  inside = INSIDE.astype(np.uint8)
  masks = [inside * (255 if index == 9 else 1) for index in range(COUNT)]
  write_masks(tmp_path / "masks", masks)
  assert harmonize(source, tmp_path / "masks", output, quality=0) == []
  assert changed_frames(source, output) == [9]


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize("turn", [90, -90])
def test_masks_of_the_stored_frames_are_turned(
  tmp_path, make_clip, mask, kind, turn, output
):
  source = tmp_path / "in.mp4"
  make_clip(source, turn=turn)
  masks = mask  # of the size in which frames are stored
  if kind == "video":
    masks = tmp_path / "masks.mkv"
    write_masks(masks, [np.uint8(255 * INSIDE)] * COUNT)
  (note,) = harmonize(source, masks, output, quality=0)
  assert "is turned as that is" in note
  changed = (samples(output) != samples(source))[:, :HEIGHT]
  assert changed[:, INSIDE].all()
  assert not changed[:, ~INSIDE].any()


def test_masks_of_another_shape_are_never_stretched(
  tmp_path, make_clip, source
):
  make_clip(tmp_path / "large.mp4", size=(72, 48))
  Image.new("L", (8, 8)).save(tmp_path / "small.png")
  for name in ("large.mp4", "small.png"):
    with pytest.raises(UserError, match="a mask is never stretched"):
      FrameMasks(tmp_path / name, reading.inspect(source), resize=True)


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
