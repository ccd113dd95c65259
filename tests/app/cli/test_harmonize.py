"""`hdnet harmonize` of one photo, with a small network of random weights."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.errors import UserError
from hdnet_jax.inference.harmonizer import Harmonizer

from .conftest import HEIGHT, WIDTH, pixels, save_pair


def test_the_object_changes_and_nothing_else(folder, pair, hdnet):
  hdnet(*pair, "-o", folder / "out/b.png", "--compare")
  before, after = pixels(pair[0]), pixels(folder / "out/b.png")
  inside = pixels(pair[1]) > 0
  assert (before[inside] != after[inside]).any()
  np.testing.assert_array_equal(before[~inside], after[~inside])
  both = pixels(folder / "out/b_compare.png")
  np.testing.assert_array_equal(both, np.concatenate([before, after], axis=1))


def test_two_files_are_enough(folder, pair, hdnet, capsys):
  hdnet(*pair, "-o", folder / "b.png")
  hdnet(*pair)
  result = folder / "images/a_harmonized.png"
  assert capsys.readouterr().out == f"{result}\n"
  assert result.read_bytes() == (folder / "b.png").read_bytes()
  hdnet(*pair, status=2)  # nothing is lost without --force
  assert "a_harmonized.png exists" in capsys.readouterr().err


def test_a_defect_of_ours_is_no_mistake_of_the_users(
  folder, pair, flags, hdnet, monkeypatch
):
  def harmonize(self, *arguments):
    raise ValueError("operands could not be broadcast together")

  monkeypatch.setattr(Harmonizer, "harmonize", harmonize)
  with pytest.raises(ValueError, match="broadcast") as caught:
    hdnet(*pair, "-o", folder / "b.png")
  assert not isinstance(caught.value, UserError)
  with pytest.raises(ValueError, match="broadcast") as caught:
    hdnet(*flags)
  assert not isinstance(caught.value, UserError)
  assert not [*folder.glob("*.png"), *folder.glob("out/*")]


def test_the_other_way_round(folder, pair, hdnet):
  hdnet(*pair, "-o", folder / "background.png", "--background")
  hdnet(*pair, "-o", folder / "inverted.png", "--invert-mask")
  before, after = pixels(pair[0]), pixels(folder / "background.png")
  inside = pixels(pair[1]) > 0
  np.testing.assert_array_equal(before[inside], after[inside])
  assert (before[~inside] != after[~inside]).any()
  np.testing.assert_array_equal(after, pixels(folder / "inverted.png"))


def test_strength(folder, pair, hdnet):
  strengths = (0, 0.5, 1, 1.5)
  for strength in strengths:
    hdnet(*pair, "-o", folder / f"{strength}.png", "--strength", strength)
  none, half, whole, more = (
    pixels(folder / f"{strength}.png").astype(int) for strength in strengths
  )
  np.testing.assert_array_equal(none, pixels(pair[0]))
  assert np.abs(half - (none + whole) / 2).max() <= 1
  further = (none + 1.5 * (whole - none)).clip(0, 255)
  assert np.abs(more - further).max() <= 1.25
  assert np.abs(more - whole).max() > 2


def test_streams(folder, pair, hdnet, through_streams):
  hdnet(*pair, "-o", folder / "b.png")
  sent = through_streams(pair[0], "-", pair[1])
  assert sent == (folder / "b.png").read_bytes()


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff"])
def test_the_format_of_what_has_no_name(
  folder, pair, flags, hdnet, format, capsysbinary
):
  save_pair(folder, "deep/b.png")
  expected = {"jpg": "JPEG"}.get(format, format.upper())
  hdnet(*pair, "-o", "-", "--format", format)
  sent = io.BytesIO(capsysbinary.readouterr().out)
  hdnet(*pair, "--format", format)
  beside = folder / f"images/a_harmonized.{format}"
  hdnet(*flags, "--format", format)
  for source in (sent, beside, folder / f"out/deep/b.{format}"):
    with Image.open(source) as image:
      assert (image.format, image.size) == (expected, (WIDTH, HEIGHT))
  hdnet(*pair, "-o", folder / "a.bmp", "--format", format, status=2)
  assert b"leave out either" in capsysbinary.readouterr().err
  assert not (folder / "a.bmp").exists()


def test_mistakes(folder, pair, hdnet, capsys):
  image, mask, out = *map(str, pair), str(folder / "out.png")
  Image.new("L", (8, 8)).save(folder / "small.png")
  for arguments, words in (
    ([], "give COMPOSITE and MASK; --help"),
    ([image], "give COMPOSITE and MASK; --help"),
    (["-", mask], "give --output: stdin has no name"),
    (["-", "-", "-o", out], "only one of COMPOSITE and MASK can be stdin"),
    ([image, mask, "-o", out, "--input-dir", "x"], "not both"),
    (["--input-dir", "x"], "give both --input-dir and --output-dir"),
    ([image, mask, "--mask-suffix", "_m"], "not both"),
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


def test_the_released_weights_are_the_default(folder, pair, hdnet):
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


def test_a_mask_of_0_and_1(folder, pair, hdnet, capsys):
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


def test_the_composites_own_alpha_is_its_mask(folder, pair, hdnet, capsys):
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
