"""`hdnet harmonize-video`, with a small network of random weights."""

import functools
import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

av = pytest.importorskip("av")

HEIGHT, WIDTH, COUNT = 48, 64, 5


@pytest.fixture
def folder(tmp_path, make_clip) -> pathlib.Path:
  """in.mp4, and in masks/ one mask for each of its frames."""
  make_clip(tmp_path / "in.mp4", COUNT, (WIDTH, HEIGHT))
  (tmp_path / "masks").mkdir()
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[10:40, 12:50] = 255
  for index in range(COUNT):
    Image.fromarray(mask).save(tmp_path / f"masks/{index}.png")
  return tmp_path


@pytest.fixture
def hdnet(hdnet):
  return functools.partial(hdnet, command="harmonize-video")


def luma(path: pathlib.Path) -> np.ndarray:
  with av.open(str(path)) as video:
    frames = [frame.to_ndarray()[:HEIGHT] for frame in video.decode(video=0)]
  return np.stack(frames).astype(int)


def test_a_video(folder, hdnet, capsys):
  pair, out = (folder / "in.mp4", folder / "masks"), folder / "out.mp4"
  hdnet(*pair, "-o", out, "--quality", 0)
  before, after = luma(pair[0]), luma(out)
  assert after.shape == before.shape == (COUNT, HEIGHT, WIDTH)
  changed = before != after
  assert changed[:, 10:40, 12:50].mean() > 0.5
  assert not changed[:, :10].any()
  error = capsys.readouterr().err
  assert "harmonizing" in error
  assert f"{COUNT}/{COUNT}" in error
  hdnet(*pair, "-o", out, "--quality", 0, "--invert-mask", "--force")
  changed = before != luma(out)
  assert not changed[:, 10:40, 12:50].any()
  assert changed[:, :10].mean() > 0.5
  hdnet(*pair, "-o", out, "--quality", 0, "--strength", 0, "--force")
  np.testing.assert_array_equal(luma(out), before)


def test_chroma(folder, hdnet, make_clip, capsys):
  video = folder / "full.mp4"
  make_clip(video, COUNT, (WIDTH, HEIGHT), pixels="yuv444p")
  for flags, expected in (
    ((), "yuv420p"),
    (("--chroma", "source"), "yuv444p"),
  ):
    out = folder / f"{expected}.mp4"
    hdnet(video, folder / "masks", "-o", out, *flags)
    with av.open(str(out)) as written:
      assert written.streams.video[0].pix_fmt == expected
    assert ("--chroma source keeps" in capsys.readouterr().err) == (not flags)


def test_mistakes(folder, hdnet, capsys):
  video, masks, out = (
    str(folder / name) for name in ("in.mp4", "masks", "out.mp4")
  )
  for arguments, words in (
    ([video, masks, "-o", video], "exists; give another path, or --force"),
    ([video, masks, "-o", "out.avi"], "no format that can be written"),
    ([video, masks, "-o", out, "--mode", "direct"], "--mode direct"),
    ([video, masks, "-o", out, "--strength", "2"], "strength"),
    ([video, masks, "-o", out, "--smoothing", "-1"], "smoothing"),
    ([video, masks, "-o", out, "--quality", "99"], "quality is 99"),
    ([str(folder / "no.mp4"), masks, "-o", out], "no.mp4 does not exist"),
    ([video, str(folder / "no"), "-o", out], "no does not exist"),
  ):
    hdnet(*arguments, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
  assert not (folder / "out.mp4").exists()


def test_without_pyav(folder, hdnet, capsys, monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  hdnet(folder / "in.mp4", folder / "masks", "-o", folder / "b.mp4", status=2)
  assert 'pip install ".[video]"' in capsys.readouterr().err


def test_stopped(folder, hdnet, capsys, monkeypatch):
  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr("hdnet_jax.app.video.colours.to_rgb", stop)
  before = sorted(folder.iterdir())
  hdnet(
    *(folder / "in.mp4", folder / "masks", "-o", folder / "out.mp4"), status=130
  )
  assert "stopped; nothing was written" in capsys.readouterr().err
  assert sorted(folder.iterdir()) == before
