import pathlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.app.cli.main import main

# What compiles slowly; tests/composites has it.
SLOW = ("developed", "expert", "dulled", "covariance", "reinhard")
CONFIG = pathlib.Path(__file__).parents[3] / "configs" / "quickstart.py"


def show(*arguments) -> None:
  main(
    [
      *("show-examples", "--config", str(CONFIG), *map(str, arguments)),
      *("--config.batch_size=4", "--config.data.image_size=32"),
      *(f"--config.data.composites.{name}=0" for name in SLOW),
    ]
  )


def test_a_sheet_of_examples(tmp_path):
  path = tmp_path / "sheet.png"
  show("-o", path, "--count", 5)
  with Image.open(path) as sheet:
    pixels = np.asarray(sheet.convert("RGB"))
  # Two rows of three examples, three pictures of 160 pixels each.
  assert pixels.shape[0] > 2 * 160
  assert pixels.shape[1] > 9 * 160
  assert pixels.std() > 20
  before = path.read_bytes()
  with pytest.raises(SystemExit):
    show("-o", path)
  assert path.read_bytes() == before


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--count", 0), "--count must be 1 or more, not 0"),
    (("--config.data.composites.moved=2",), "moved is a share, not 2"),
    (("--config.data.composites.warm=1",), "no such setting"),
  ],
)
def test_mistakes_are_one_line(tmp_path, capsys, arguments, words):
  with pytest.raises(SystemExit) as stop:
    show("-o", tmp_path / "sheet.png", *arguments)
  assert stop.value.code == 1
  error = capsys.readouterr().err
  assert words in error
  assert error.count("\n") == 1
  assert not list(tmp_path.iterdir())
