import numpy as np
import pytest

from hdnet_jax.config import CompositesConfig
from hdnet_jax.data.placement import fill, make_layers

SIZE = 32  # of the layers; the photo is twice as large


@pytest.fixture
def example(rng) -> dict[str, np.ndarray]:
  photo = rng.integers(90, 110, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
  mask = np.zeros((2 * SIZE, 2 * SIZE, 1), np.uint8)
  mask[20:36, 24:44] = 1
  photo[mask[..., 0] == 1] = (250, 30, 30)
  return {"real": photo, "mask": mask, "index": np.int32(7)}


def layers(example, seed=0, moved=0.0, edge=0, hard=0.0):
  config = CompositesConfig(moved=moved, edge=edge, hard=hard)
  return make_layers(example, np.random.default_rng(seed), config)


def halved(image: np.ndarray) -> np.ndarray:
  blocks = image.astype(float).reshape(SIZE, 2, SIZE, 2, -1)
  return blocks.mean((1, 3))


def red(image: np.ndarray) -> np.ndarray:
  return (image[..., 0] > 200) & (image[..., 1] < 80)


def test_contract(example):
  for moved in (0.0, 1.0):
    placed = layers(example, moved=moved, edge=2, hard=0.5)
    assert placed["index"] == 7
    for name, channels in (("background", 3), ("object", 3), ("alpha", 1)):
      assert placed[name].dtype == np.uint8
      assert placed[name].shape == (SIZE, SIZE, channels)


def test_in_its_place_both_layers_are_the_photo(example):
  placed = layers(example)
  np.testing.assert_allclose(
    placed["object"], halved(example["real"]), atol=0.51
  )
  np.testing.assert_array_equal(placed["object"], placed["background"])
  np.testing.assert_allclose(
    placed["alpha"], halved(255 * example["mask"]), atol=0.51
  )


def test_odd_edges_are_half_the_objects(example):
  example["mask"][:] = 0
  example["mask"][21:36, 24:44] = 1
  alpha = layers(example)["alpha"]
  np.testing.assert_allclose(alpha[10, 12:22, 0], 128, atol=1)
  soft, hard = (
    layers(example, moved=1.0, hard=hard)["alpha"] for hard in (0.0, 1.0)
  )
  assert len(np.unique(soft)) > 2
  np.testing.assert_array_equal(hard, 255 * (soft > 127))


def test_masks_are_too_large_or_too_small(example):
  areas = {
    int(layers(example, seed, edge=2)["alpha"].astype(int).sum() / 255 * 4)
    for seed in range(40)
  }
  # 16 x 20 pixels of the large size, and by up to 2 on each side.
  expected = {(16 + 2 * k) * (20 + 2 * k) for k in range(-2, 3)}
  assert len(areas) == 5
  np.testing.assert_allclose(sorted(areas), sorted(expected), atol=3)


def test_a_moved_object_leaves_no_copy(example):
  places = set()
  for seed in range(12):
    placed = layers(example, seed, moved=1.0)
    inside = placed["alpha"][..., 0] > 127
    assert red(placed["object"])[placed["alpha"][..., 0] == 255].all()
    assert not red(placed["background"]).any()
    # What is filled looks like what surrounds it.
    assert np.abs(placed["background"].astype(int) - 100).max() < 12
    assert 0.15 < inside.sum() / (8 * 10) < 1.6  # eroded, and scaled
    places.add(tuple(np.argwhere(inside).mean(0).round()))
  assert len(places) > 8


def test_shares_are_kept(example):
  moved = sum(
    np.any(placed["object"] != placed["background"])
    for placed in (layers(example, seed, moved=0.5) for seed in range(100))
  )
  assert 30 < moved < 70


@pytest.mark.parametrize("kind", ["empty", "full", "pixel", "ground"])
def test_odd_masks(example, kind):
  mask = np.zeros_like(example["mask"])
  if kind == "full":
    mask[:] = 1
  elif kind == "pixel":
    mask[5, 9] = 1
  elif kind == "ground":  # cut off by the picture: it stays where it is
    mask[40:] = 1
  example["mask"] = mask
  for seed in range(4):
    placed = layers(example, seed, moved=1.0, edge=2)
    if kind != "pixel":
      np.testing.assert_array_equal(placed["object"], placed["background"])
    if kind == "empty":
      assert not placed["alpha"].any()
    if kind == "full":
      assert placed["alpha"].mean() > 200


def test_filling_leaves_what_is_known(rng):
  photo = rng.integers(0, 256, (13, 21, 3), dtype=np.uint8)
  hole = np.zeros((13, 21, 1), bool)
  hole[2:9, 5:17] = True
  filled = fill(photo, hole)
  np.testing.assert_array_equal(filled[~hole[..., 0]], photo[~hole[..., 0]])
  flat = np.full_like(photo, 77)
  flat[hole[..., 0]] = 255
  np.testing.assert_array_equal(fill(flat, hole), np.full_like(photo, 77))
