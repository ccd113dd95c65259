"""A small photo folder and a config that trains on it in seconds."""

import csv
import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from hdnet_jax.config import Config, DataConfig, ModelConfig
from hdnet_jax.data.photos import split_of

SPLITS = {"train": 10, "validation": 3, "test": 3}


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory) -> pathlib.Path:
  root = tmp_path_factory.mktemp("photos")
  (root / "images").mkdir()
  (root / "masks").mkdir()
  rng = np.random.default_rng(0)
  missing, rows, number = dict(SPLITS), [], 0
  while any(missing.values()):
    image, mask = f"images/p{number}.png", f"masks/p{number}.png"
    number += 1
    split = split_of(image)
    if not missing[split]:
      continue
    missing[split] -= 1
    smooth = np.kron(rng.integers(30, 220, (4, 4, 3)), np.ones((10, 10, 1)))
    Image.fromarray(smooth.astype(np.uint8)).save(root / image)
    region = np.zeros((40, 40), np.uint8)
    top, left = rng.integers(0, 20, 2)
    region[top : top + 18, left : left + 16] = 255
    Image.fromarray(region).save(root / mask)
    rows.append({"image": image, "mask": mask})
  with (root / "manifest.csv").open("w", newline="") as file:
    writer = csv.DictWriter(file, fieldnames=["image", "mask"])
    writer.writeheader()
    writer.writerows(rows)
  return root


@pytest.fixture
def config(photo_folder) -> Config:
  return Config(
    name="tiny",
    batch_size=8,
    eval_batch_size=8,
    epochs=5.0,  # 7 steps of 10 photos
    log_every=2,
    eval_every=4,
    save_every=2,
    model=ModelConfig(width=2),
    data=DataConfig(
      source="photos", root=str(photo_folder), image_size=32, threads=2
    ),
  )


def with_data(config: Config, **values) -> Config:
  return dataclasses.replace(
    config, data=dataclasses.replace(config.data, **values)
  )
