"""The rows of the config files."""

import dataclasses
import re

import pytest

from hdnet_jax.app import ablation
from hdnet_jax.app.config_file import load_config
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

from .runs import NEIGHBORS, PAPER, PHOTOS, ROOT


@pytest.mark.parametrize(
  ("row", "model"),
  [
    ("base", ("none", 1, "none")),
    ("ld", ("paper", 1, "none")),
    ("sa", ("none", 1, "spatial_attention")),
    ("mgd", ("none", 1, "mask")),
    ("learned_mask", ("paper", 1, "learned_mask")),
    ("hdnet", ("paper", 1, "mask")),
    ("ld_official", ("official", 1, "mask")),
    *((k, ("paper", int(k), "mask")) for k in "13579"),
  ],
)
def test_rows_are_the_papers(row, model):
  path = NEIGHBORS if row.isdecimal() else PAPER
  config = load_config(f"{path}:{row}", [])
  assert config.model == ModelConfig(32, *model)
  assert config.name == f"{path.stem}_{row}"


@pytest.mark.parametrize("path", [PAPER, NEIGHBORS], ids=lambda path: path.stem)
def test_rows_train_as_hdnet_does(path):
  paper = load_config(f"{ROOT}/configs/hdnet.py", [])
  assert load_config(str(path), []) in [
    load_config(f"{path}:{row}", [])
    for row in ("hdnet", "1")
    if row in ablation.load_rows(path)
  ]
  for row in ablation.load_rows(path):
    config = load_config(f"{path}:{row}", [])
    assert dataclasses.replace(config, name="hdnet", model=paper.model) == paper


def test_the_photos_rows_differ_in_the_model_only():
  rows = ablation.load_rows(PHOTOS)
  base = load_config(f"{PHOTOS}:base", [])
  assert set(ablation.load_rows(PAPER)) <= set(rows)
  for row, fields in rows.items():
    model = ModelConfig(width=8, **fields)
    name = f"ablation_photos_{row}"
    assert load_config(f"{PHOTOS}:{row}", []) == dataclasses.replace(
      base, name=name, model=model
    )


@pytest.mark.parametrize("path", [PAPER, NEIGHBORS, PHOTOS])
def test_unknown_rows_name_the_known_ones(path):
  rows = ", ".join(ablation.load_rows(path))
  words = f"row 'nothing'; the rows are {rows}"
  with pytest.raises(UserError, match=re.escape(words)):
    load_config(f"{path}:nothing", [])
  with pytest.raises(UserError, match=re.escape(words)):
    ablation.choose_rows(ablation.load_rows(path), ["nothing"])
