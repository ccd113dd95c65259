import json

import jax
import numpy as np
import pytest
from PIL import Image

from hdnet_jax import weights
from hdnet_jax.app.cli.main import main
from hdnet_jax.data.photos import split_of
from hdnet_jax.evaluation.scorecard import PHOTOS

SIZE = 32  # of the network


@pytest.fixture
def zeros(network, tmp_path):
  """Weights of 0: every object becomes gray."""
  params, model, provenance = weights.load(network)
  params = jax.tree.map(np.zeros_like, params)
  weights.save(tmp_path / "zero.safetensors", params, model, provenance)
  return tmp_path / "zero.safetensors"


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


def test_a_table_and_its_numbers(zeros, photos, tmp_path, capsys):
  numbers = tmp_path / "card.json"
  command = ["scorecard", zeros, "--photos", photos, "--json", numbers]
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
