"""`hdnet compose`, with a small network of random weights."""

import numpy as np
from PIL import Image

from .conftest import HEIGHT, WIDTH, pixels


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
