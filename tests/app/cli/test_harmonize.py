"""`hdnet harmonize` and `compose`, with a small network of random weights."""

import io
import os
import pathlib
import sys
import types

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.atomic_write import with_end
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


def test_a_folder(folder, flags, hdnet, capsys):
  save_pair(folder, "deep/b.png", seed=1)
  save_pair(folder, "no_mask.png")
  (folder / "masks/no_mask.png").unlink()
  save_pair(folder, "broken.png")
  (folder / "images/broken.png").write_bytes(b"\x89PNG no more")
  (folder / "images/notes.txt").write_text("not an image")
  hdnet(*flags, status=2)
  said = capsys.readouterr()
  assert said.out == "2 harmonized, 0 skipped, 2 failed\n"
  assert "no_mask.png has no mask no_mask.*" in said.err
  assert "broken.png" in said.err
  results = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
  assert results == [folder / "out/a.png", folder / "out/deep/b.png"]
  flags = [
    path / "deep" if isinstance(path, pathlib.Path) else path for path in flags
  ]
  hdnet(*flags, "--skip-existing")
  assert capsys.readouterr().out == "0 harmonized, 1 skipped, 0 failed\n"


def test_a_stopped_folder_goes_on(folder, hdnet, capsys):
  for seed, name in enumerate(("b.png", "c.png")):
    save_pair(folder, name, seed)
  out = folder / "images/out"  # inside the input: never an input itself
  flags = [
    *("--input-dir", folder / "images", "--mask-dir", folder / "masks"),
    *("--output-dir", out, "--compare"),
  ]
  said = []
  for force in ((), (), ("--force",)):
    hdnet(*flags, *force)
    said.append(capsys.readouterr())
    if not force:
      # As if it had stopped between the two files of b.png.
      (out / "b_compare.png").unlink()
      (out / "c.png").unlink()
  assert [texts.out for texts in said] == [
    f"{done} harmonized, {3 - done} skipped, 0 failed\n" for done in (3, 2, 3)
  ]
  assert "what exists was skipped; --force replaces it" in said[1].err
  assert len(list(out.iterdir())) == 6


NAMES = (
  *(b"caf\xe9", "cafe\u0301".encode(), "\u65e5\u672c".encode()),
  *(b"a" * 251, "\u00fc".encode() * 125, b"new\nline", b"\x1b[31mred"),
  *(b"[bold]x", b":cat:", b"-dash", b" lead", b"%03d", b"http:x", b"*"),
)


@pytest.mark.parametrize("name", NAMES[:5])
def test_a_result_has_the_name_whatever_it_is(
  folder, hdnet, name, capsysbinary
):
  name = f"{os.fsdecode(name)}.png"
  save_pair(folder, name)
  hdnet(folder / "images" / name, folder / "masks" / name)
  path = with_end(folder / "images" / name, "_harmonized.png")
  assert capsysbinary.readouterr().out == os.fsencode(path) + b"\n"
  assert pixels(path).shape == (HEIGHT, WIDTH, 3)


def test_a_folder_of_every_name_in_linked_folders(
  folder, flags, hdnet, capsysbinary
):
  names = [f"{os.fsdecode(name)}.png" for name in NAMES]
  for name in names:
    save_pair(folder / "linked", name)
  (folder / "linked/images/[bold]x.png").write_text("no image")
  for kind in ("images", "masks"):
    (folder / kind / "more").symlink_to(folder / "linked" / kind)
  hdnet(*flags, "--compare", status=2)
  said = capsysbinary.readouterr()
  assert said.out == b"14 harmonized, 0 skipped, 1 failed\n"
  assert b"/[bold]x.png is not a JPEG" in said.err
  results = set(os.listdir(folder / "out/more"))
  assert len(results) == 2 * 13
  assert set(names) - results == {"[bold]x.png"}


@pytest.fixture
def through_streams(hdnet, monkeypatch):
  """Runs the command on a file as stdin; returns what it writes to stdout."""

  def run(path: pathlib.Path, *arguments, **values) -> bytes:
    stdin, sent = io.BytesIO(path.read_bytes()), io.BytesIO()
    with monkeypatch.context() as patch:
      patch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stdin))
      patch.setattr(sys, "stdout", types.SimpleNamespace(buffer=sent))
      hdnet(*arguments, "-o", "-", **values)
    return sent.getvalue()

  return run


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


def test_a_folders_results_are_of_the_format_of_the_contents(
  folder, flags, hdnet, capsys
):
  save_pair(folder, "b.png")
  with Image.open(folder / "images/b.png") as image:
    clear = image.convert("RGBA")
  clear.putpixel((0, 0), (1, 2, 3, 0))
  clear.save(folder / "images/b.jpg", "PNG")  # RGBA that is named .jpg
  (folder / "images/b.png").unlink()
  hdnet(*flags)
  assert capsys.readouterr().out == "2 harmonized, 0 skipped, 0 failed\n"
  with Image.open(folder / "out/b.png") as result:
    assert (result.format, result.mode) == ("PNG", "RGBA")
  hdnet(*flags, "--format", "jpg", status=2)
  said = capsys.readouterr()
  assert said.out == "1 harmonized, 0 skipped, 1 failed\n"
  assert "has an alpha channel, which" in said.err
  clear.putalpha(255)
  clear.save(folder / "images/b.jpg", "PNG")
  hdnet(*flags, "--format", "jpg")
  said = capsys.readouterr()
  assert said.out == "1 harmonized, 1 skipped, 0 failed\n"
  assert "opaque everywhere, and is left out" in said.err


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


def test_compose(folder, hdnet, capsys, through_streams):
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
  for sent, words in ((files[0], ("-", photo)), (photo, (files[0], "-"))):
    written = through_streams(sent, *words, "--at", "20,10", command="compose")
    assert written == out.read_bytes()
  for words, message in (
    (("-", "-", "-o", out), "only one of CUTOUT and PHOTO"),
    ((*files, "--at=10", "--force"), "--at 10 is not X,Y"),
    ((*files, "--scale", 0, "--force"), "--scale is above 0"),
    (files, "out.png exists"),
  ):
    hdnet(*words, command="compose", status=2)
    assert message in capsys.readouterr().err


def test_compose_a_layer(folder, hdnet, capsys):
  cutout = np.full((10, 12, 4), 90, np.uint8)
  cutout[..., 3] = np.linspace(0, 255, 12)
  Image.fromarray(cutout).save(folder / "cutout.png")
  photo = folder / "images/a.png"
  files = (folder / "cutout.png", photo, "--at=-2,10")
  hdnet(*files, "-o", folder / "out.png", command="compose")
  hdnet(*files, "--layer", "-o", folder / "layer.png", command="compose")
  with Image.open(folder / "layer.png") as layer:
    assert (layer.mode, layer.size) == ("RGBA", (WIDTH, HEIGHT))
    base = Image.open(photo).convert("RGBA")
    shown = np.asarray(Image.alpha_composite(base, layer))[..., :3]
    alpha = np.asarray(layer)[..., 3]
  np.testing.assert_array_equal(alpha[10:20, :10], cutout[:, 2:, 3])
  assert not alpha[:, 10:].any()
  composed = pixels(folder / "out.png")
  assert abs(shown.astype(int) - composed).max() <= 2
  for words, message in (
    (("-o", folder / "layer.jpg"), "a layer has an alpha channel, which"),
    (("-o", folder / "new.png", "--background"), "--layer or --background"),
  ):
    hdnet(*files, "--layer", *words, command="compose", status=2)
    assert message in capsys.readouterr().err
  assert not (folder / "new.png").exists()


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
