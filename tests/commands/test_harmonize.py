"""`hdnet harmonize` and `compose`, with a small network of random weights."""

import io
import pathlib
import sys
import types

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 40, 56


pytestmark = pytest.mark.usefixtures("unoptimized")


def save_pair(folder: pathlib.Path, name: str, seed: int = 0) -> None:
  """NAME in folder/images and folder/masks, the object in the middle."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(40, 220, (5, 7, 3)).repeat(8, 0).repeat(8, 1)
  mask = np.zeros((HEIGHT, WIDTH), np.uint8)
  mask[10:30, 12:40] = 255
  for kind, pixels in (("images", coarse.astype(np.uint8)), ("masks", mask)):
    path = folder / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
  save_pair(tmp_path, "a.png")
  return tmp_path


def pixels(path: pathlib.Path) -> np.ndarray:
  with Image.open(path) as image:
    return np.asarray(image)


def test_the_object_changes_and_nothing_else(folder, hdnet):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "out/b.png", "--compare")
  before, after = pixels(pair[0]), pixels(folder / "out/b.png")
  inside = pixels(pair[1]) > 0
  assert (before[inside] != after[inside]).any()
  np.testing.assert_array_equal(before[~inside], after[~inside])
  both = pixels(folder / "out/b_compare.png")
  np.testing.assert_array_equal(both, np.concatenate([before, after], axis=1))


def test_two_files_are_enough(folder, hdnet, capsys):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "b.png")
  hdnet(*pair)
  made = folder / "images/a_harmonized.png"
  assert capsys.readouterr().out == f"{made}\n"
  assert made.read_bytes() == (folder / "b.png").read_bytes()
  hdnet(*pair, status=2)  # nothing is lost without --force
  assert "a_harmonized.png exists" in capsys.readouterr().err


def test_the_other_way_round(folder, hdnet):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "background.png", "--background")
  hdnet(*pair, "-o", folder / "inverted.png", "--invert-mask")
  before, after = pixels(pair[0]), pixels(folder / "background.png")
  inside = pixels(pair[1]) > 0
  np.testing.assert_array_equal(before[inside], after[inside])
  assert (before[~inside] != after[~inside]).any()
  np.testing.assert_array_equal(after, pixels(folder / "inverted.png"))


def test_strength(folder, hdnet):
  pair = folder / "images/a.png", folder / "masks/a.png"
  for strength in (0, 0.5, 1):
    hdnet(*pair, "-o", folder / f"{strength}.png", "--strength", strength)
  none, half, whole = (
    pixels(folder / f"{strength}.png").astype(int) for strength in (0, 0.5, 1)
  )
  np.testing.assert_array_equal(none, pixels(pair[0]))
  assert np.abs(half - (none + whole) / 2).max() <= 1


def test_a_folder(folder, hdnet, capsys):
  save_pair(folder, "deep/b.png", seed=1)
  save_pair(folder, "no_mask.png")
  (folder / "masks/no_mask.png").unlink()
  save_pair(folder, "broken.png")
  (folder / "images/broken.png").write_bytes(b"\x89PNG no more")
  (folder / "images/notes.txt").write_text("not an image")
  flags = [
    *("--input-dir", folder / "images", "--mask-dir", folder / "masks"),
    *("--output-dir", folder / "out"),
  ]
  hdnet(*flags, status=2)
  said = capsys.readouterr()
  assert said.out == "2 harmonized, 0 skipped, 2 failed\n"
  assert "no_mask.png has no mask no_mask.*" in said.err
  assert "broken.png" in said.err
  made = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
  assert made == [folder / "out/a.png", folder / "out/deep/b.png"]
  hdnet(
    *(
      "--input-dir",
      folder / "images/deep",
      "--mask-dir",
      folder / "masks/deep",
    ),
    *("--output-dir", folder / "out/deep", "--skip-existing"),
  )
  assert capsys.readouterr().out == "0 harmonized, 1 skipped, 0 failed\n"


def test_streams(folder, hdnet, monkeypatch):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "b.png")
  sent = io.BytesIO()
  stdin = io.BytesIO(pair[0].read_bytes())
  monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
  monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=sent))
  hdnet("-", pair[1], "-o", "-")
  monkeypatch.undo()
  assert sent.getvalue() == (folder / "b.png").read_bytes()


def test_mistakes(folder, hdnet, capsys):
  image, mask, out = (
    str(folder / name) for name in ("images/a.png", "masks/a.png", "out.png")
  )
  Image.new("L", (8, 8)).save(folder / "small.png")
  for arguments, words in (
    ([], "give COMPOSITE and MASK; --help"),
    ([image], "give COMPOSITE and MASK; --help"),
    (["-", mask], "give --output: stdin has no name"),
    (["-", "-", "-o", out], "only one of COMPOSITE and MASK can be stdin"),
    ([image, mask, "-o", out, "--input-dir", "x"], "not both"),
    (["--input-dir", "x"], "--mask-dir and --output-dir, all three"),
    (
      ["--input-dir", "x", "--mask-dir", "y", "--output-dir", "z"],
      "--input-dir x is not a folder",
    ),
    (["nothing.png", mask, "-o", out], "nothing.png does not exist"),
    ([image, str(folder / "small.png"), "-o", out], "8x8 pixels"),
    ([image, mask, "-o", image], "exists; give another path, or --force"),
    ([image, mask, "-o", "out.bmp"], "no format that can be written"),
    ([image, mask, "-o", out, "--strength", "2"], "strength"),
    ([image, mask, "-o", out, "--quality", "0"], "quality is 0"),
  ):
    hdnet(*arguments, status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
  assert not (folder / "out.png").exists()


def test_without_weights_nothing_is_made(folder, hdnet, capsys):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "b.png", given="nowhere", status=2)
  assert "configs/quickstart.py" in capsys.readouterr().err
  assert not (folder / "b.png").exists()


def test_the_released_weights_are_the_default(folder, hdnet):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "b.png", given=None)
  hdnet(*pair, "-o", folder / "named.png", given="hdnet-lite")
  before, after = pixels(pair[0]), pixels(folder / "b.png")
  assert (before != after).any()
  np.testing.assert_array_equal(after, pixels(folder / "named.png"))


def test_an_odd_mask_is_told(folder, hdnet, capsys):
  Image.new("L", (WIDTH, HEIGHT)).save(folder / "empty.png")
  hdnet(folder / "images/a.png", folder / "empty.png", "-o", folder / "b.png")
  assert "covers nothing" in capsys.readouterr().err
  np.testing.assert_array_equal(
    pixels(folder / "b.png"), pixels(folder / "images/a.png")
  )


def test_compose(folder, hdnet, capsys):
  cutout = np.full((10, 12, 4), 90, np.uint8)
  cutout[..., 3] = 0
  cutout[2:8, 2:10, 3] = 255
  Image.fromarray(cutout).save(folder / "cutout.png")
  photo, out = folder / "images/a.png", folder / "out.png"
  files = [folder / "cutout.png", photo, "-o", out]
  hdnet(*files, "--at", "20,10", command="compose")
  before, after = pixels(photo), pixels(out)
  changed = np.zeros((HEIGHT, WIDTH), bool)
  changed[12:18, 22:30] = True
  np.testing.assert_array_equal(before[~changed], after[~changed])
  assert (after[changed] != 90).any()  # it is not only pasted
  hdnet(*files, "--at=10", "--force", command="compose", status=2)
  assert "--at 10 is not X,Y" in capsys.readouterr().err
  hdnet(*files, "--scale", 0, "--force", command="compose", status=2)
  assert "--scale is above 0" in capsys.readouterr().err
  hdnet(*files, command="compose", status=2)
  assert "out.png exists" in capsys.readouterr().err


def test_a_mask_of_0_and_1(folder, hdnet, capsys):
  pair = folder / "images/a.png", folder / "masks/a.png"
  Image.fromarray(pixels(pair[1]) // 255).save(folder / "ones.png")
  hdnet(*pair, "-o", folder / "b.png")
  hdnet(pair[0], folder / "ones.png", "-o", folder / "c.png")
  assert (folder / "b.png").read_bytes() == (folder / "c.png").read_bytes()
  assert "1 is white in it" in capsys.readouterr().err


def save_with_alpha(folder: pathlib.Path, name: str) -> pathlib.Path:
  """The pair of that name as one RGBA image, in folder/alpha."""
  photo = pixels(folder / "images" / name)
  path = folder / "alpha" / name
  path.parent.mkdir(exist_ok=True)
  alpha = pixels(folder / "masks" / name)
  Image.fromarray(np.dstack((photo, alpha))).save(path)
  return path


def test_the_composites_own_alpha_is_its_mask(folder, hdnet, capsys):
  pair = folder / "images/a.png", folder / "masks/a.png"
  hdnet(*pair, "-o", folder / "b.png")
  path = save_with_alpha(folder, "a.png")
  hdnet(path, "--mask-from-alpha", "-o", folder / "c.png")
  after = pixels(folder / "c.png")
  np.testing.assert_array_equal(after[..., :3], pixels(folder / "b.png"))
  np.testing.assert_array_equal(after[..., 3], pixels(pair[1]))
  flags = ["--input-dir", folder / "alpha", "--output-dir", folder / "out"]
  hdnet(*flags, "--mask-from-alpha")
  np.testing.assert_array_equal(pixels(folder / "out/a.png"), after)
  assert "alpha" not in capsys.readouterr().err

  for arguments, words in (
    ((pair[0], "--mask-from-alpha"), "a.png has no alpha channel"),
    ((path, pair[1], "--mask-from-alpha"), "not both"),
    ((*flags, "--mask-dir", folder / "masks", "--mask-from-alpha"), "not both"),
  ):
    hdnet(*arguments, status=2)
    assert words in capsys.readouterr().err


def test_alpha_with_nothing_behind_it_is_told(folder, hdnet, capsys):
  path = save_with_alpha(folder, "a.png")
  samples = pixels(path).copy()
  samples[samples[..., 3] == 0] = 0
  Image.fromarray(samples).save(path)
  hdnet(path, "--mask-from-alpha", "-o", folder / "c.png")
  assert "no photo to fit the object to" in capsys.readouterr().err
