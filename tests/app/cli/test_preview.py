"""`hdnet harmonize --preview`."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from hdnet_jax.inference import preview
from hdnet_jax.inference.engine_onnxruntime import OnnxRuntimeEngine
from hdnet_jax.inference.strength import PREVIEWED

from .conftest import pixels, save_pair

HEIGHT, WIDTH = 40, 280  # wider than the words above it


@pytest.fixture
def wide(folder) -> list:
  """A photo and its mask."""
  y, x = np.mgrid[:HEIGHT, :WIDTH]
  photo = np.stack([x // 2, 5 * y, (x + 2 * y) // 3], -1).astype(np.uint8)
  mask = np.hypot(y - 20, x - 140) < 18
  files = [folder / "wide.png", folder / "wide_mask.png"]
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
  Image.fromarray(photo).save(files[0], icc_profile=profile)
  Image.fromarray(mask).save(files[1])
  return files


def panels(strip: np.ndarray, count: int = len(PREVIEWED)) -> list[np.ndarray]:
  step = (strip.shape[1] + preview._GAP) // count
  below = strip[preview._LABEL :]
  return [below[:, i * step :][:, :WIDTH] for i in range(count)]


def test_the_strip_shows_what_each_strength_makes(folder, wide, hdnet, capsys):
  hdnet(*wide, "--preview")
  path = folder / "wide_preview.png"
  assert capsys.readouterr().out == f"{path}\n"
  shown = panels(pixels(path))
  assert len(shown) == 6
  for strength, picture in zip(PREVIEWED, shown, strict=True):
    out = folder / f"{strength}.png"
    hdnet(*wide, "-o", out, "--strength", strength)
    difference = picture.astype(int) - pixels(out)
    assert np.abs(difference).max() <= 1
  assert (shown[-1] != shown[-2]).any()
  np.testing.assert_array_equal(shown[0], pixels(wide[0]))
  with Image.open(path) as strip, Image.open(wide[0]) as photo:
    assert strip.info["icc_profile"] == photo.info["icc_profile"]
  assert not (folder / "wide_harmonized.png").exists()


def test_the_network_runs_once(folder, wide, hdnet, monkeypatch):
  runs, run = [], OnnxRuntimeEngine.__call__
  monkeypatch.setattr(
    OnnxRuntimeEngine,
    "__call__",
    lambda *inputs: runs.append(1) or run(*inputs),
  )
  hdnet(*wide, "--preview", "--strength", 1.1)
  assert len(runs) == 1
  # The strength that is asked for is beside the others.
  shown = panels(pixels(folder / "wide_preview.png"), 7)
  hdnet(*wide, "-o", folder / "out.png", "--strength", 1.1)
  difference = shown[4].astype(int) - pixels(folder / "out.png")
  assert np.abs(difference).max() <= 1


def test_it_is_written_where_one_says(folder, wide, hdnet, capsysbinary):
  hdnet(*wide, "--preview", "--format", "jpg")
  with Image.open(folder / "wide_preview.jpg") as strip:
    assert strip.format == "JPEG"
  hdnet(*wide, "--preview", "-o", folder / "deep/strip.webp")
  with Image.open(folder / "deep/strip.webp") as strip:
    assert strip.format == "WEBP"
  capsysbinary.readouterr()
  hdnet(*wide, "--preview", "-o", "-")
  with Image.open(io.BytesIO(capsysbinary.readouterr().out)) as strip:
    assert strip.width > 6 * WIDTH
  for flags, words in (
    (("--preview", "--format", "jpg"), b"wide_preview.jpg exists"),
    (("--preview", "-o", folder / "strip.bmp"), b"no format that can be"),
    (("--preview", "--compare"), b"--preview or --compare"),
    (("--preview", "--quality", 0), b"quality is 0"),
  ):
    hdnet(*wide, *flags, status=2)
    assert words in capsysbinary.readouterr().err


def test_a_photo_with_alpha_has_one_in_jpeg_too(folder, wide, hdnet):
  photo = Image.open(wide[0])
  alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
  alpha[0] = 0
  photo.putalpha(Image.fromarray(alpha))
  photo.save(wide[0])
  hdnet(*wide, "--preview", "-o", folder / "strip.jpg", "--quality", 100)
  for picture in panels(pixels(folder / "strip.jpg")):
    assert (picture[0, 16:-16] > 200).all()


def test_a_folder_of_strips(folder, flags, hdnet, capsys):
  save_pair(folder, "deep/b.png", seed=1)
  hdnet(*flags, "--preview")
  assert capsys.readouterr().out == "2 harmonized, 0 skipped, 0 failed\n"
  results = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
  names = ["out/a_preview.png", "out/deep/b_preview.png"]
  assert results == [folder / name for name in names]
  hdnet(*flags, "--preview")
  assert capsys.readouterr().out == "0 harmonized, 2 skipped, 0 failed\n"
  hdnet(*flags)  # results have other names
  assert capsys.readouterr().out == "2 harmonized, 0 skipped, 0 failed\n"


def test_a_strip_beside_its_photo_is_no_photo(
  folder, pair, flags, hdnet, capsys
):
  hdnet(*pair, "--preview")
  capsys.readouterr()
  hdnet(*flags)
  said = capsys.readouterr()
  assert said.out == "1 harmonized, 0 skipped, 0 failed\n"
  assert "1 earlier result is left out" in said.err
