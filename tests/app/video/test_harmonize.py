"""Videos harmonized: what changes, what is refused, what is left behind."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hdnet_jax.app.video import reading, writing  # noqa: E402
from hdnet_jax.app.video.harmonize import (  # noqa: E402
  FrameHarmonizer,
)
from hdnet_jax.config import ModelConfig  # noqa: E402
from hdnet_jax.errors import UserError  # noqa: E402
from hdnet_jax.inference import guided_filter  # noqa: E402
from hdnet_jax.inference.engine_jax import JaxEngine  # noqa: E402
from hdnet_jax.inference.harmonizer import Harmonizer  # noqa: E402
from hdnet_jax.model.hdnet import HDNet  # noqa: E402

from .clips import (  # noqa: E402
  COUNT,
  HEIGHT,
  INSIDE,
  Brighter,
  harmonize,
  luma_change,
  samples,
  tags,
)


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
