"""The masks of a video: one image, a folder, a video."""

import os

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

from hdnet_jax.app.video import reading  # noqa: E402
from hdnet_jax.app.video.frame_masks import FrameMasks  # noqa: E402
from hdnet_jax.errors import UserError  # noqa: E402

from .clips import (  # noqa: E402
  COUNT,
  HEIGHT,
  INSIDE,
  WIDTH,
  changed_frames,
  frames,
  harmonize,
  luma_change,
  samples,
  write_masks,
)


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
  "name",
  [
    *(b"caf\xe9", "cafe\u0301".encode(), b"a" * 249),
    *(b"new\nline", b"%03d", b"http:x"),
  ],
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
