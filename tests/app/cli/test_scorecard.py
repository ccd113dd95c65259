import json

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax import weights
from hdnet_jax.app.cli.main import main
from hdnet_jax.config import ModelConfig
from hdnet_jax.data.photos import split_of
from hdnet_jax.evaluation.scorecard import PHOTOS
from hdnet_jax.model.hdnet import HDNet

SIZE = 32


@pytest.fixture
def network(tmp_path):
  """Weights of 0: every object becomes gray."""
  image, mask = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))
  shapes = jax.eval_shape(HDNet(2).init, jax.random.key(0), image, mask)
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes["params"])
  path = tmp_path / "zero.safetensors"
  weights.save(path, params, ModelConfig(width=2), {"image_size": str(SIZE)})
  return path


@pytest.fixture
def photos(tmp_path, rng):
  root = tmp_path / "photos"
  names = [f"p{number}.png" for number in range(99)]
  names = [name for name in names if split_of(name) == "test"][:2]
  for folder in ("images", "masks"):
    (root / folder).mkdir(parents=True)
  for name in names:
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 12:40] = 255
    Image.fromarray(photo).save(root / "images" / name)
    Image.fromarray(mask).save(root / "masks" / name)
  lines = [f"images/{name},masks/{name}\n" for name in names]
  (root / "manifest.csv").write_text("image,mask\n" + "".join(lines))
  return root


def test_a_table_and_its_numbers(network, photos, tmp_path, capsys):
  numbers = tmp_path / "card.json"
  command = ["scorecard", network, "--photos", photos, "--json", numbers]
  main([*map(str, command), "--batch", "2"])
  text = capsys.readouterr().out
  report = json.loads(numbers.read_text())
  assert report["size"] == SIZE
  moved, in_place, untouched = report["rows"]
  for row, name in zip(report["rows"], PHOTOS, strict=True):
    assert row["row"] == name
    assert name in text
    assert row["count"] == 2
  for row in (moved, in_place):
    low, high = row["interval"]
    assert low <= row["gain"] <= high
    assert row["gain"] == pytest.approx(row["psnr"][1] - row["psnr"][0])
  assert untouched["psnr"][0] is None
  assert untouched["fmse"][0] == 0
  assert untouched["better"] == 0


def test_nothing_to_measure_is_refused(network, capsys):
  with pytest.raises(SystemExit) as stop:
    main(["scorecard", str(network)])
  assert stop.value.code == 1
  assert "give --genuine DIR, --photos DIR" in capsys.readouterr().err
