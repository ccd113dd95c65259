import numpy as np
import pytest

from hdnet_jax.data.pipeline import augment


@pytest.fixture
def example(rng):
  mask = np.zeros((32, 48, 1), np.uint8)
  mask[8:20, 10:30] = 1
  # Pixels that tell where they came from, in both pictures.
  rows, columns = np.mgrid[:32, :48].astype(np.uint8)
  picture = np.stack([4 * rows, 4 * columns, 100 * mask[..., 0]], axis=-1)
  return {
    "composite": picture,
    "real": picture.copy(),
    "mask": mask,
    "index": np.int32(7),
  }


def assert_of_one_place(changed) -> None:
  """Composite, mask and real are still of one place."""
  np.testing.assert_array_equal(changed["composite"], changed["real"])
  inside = changed["real"][..., 2] > 50  # the mask, as the picture has it
  agree = inside == (changed["mask"][..., 0] == 1)
  assert agree.mean() > 0.96  # all but the border, which is interpolated
  assert changed["mask"].sum() > 0


def test_off_changes_nothing(example, rng):
  same = augment(example, rng, flip=False, crop=1.0)
  for name, value in example.items():
    np.testing.assert_array_equal(same[name], value)


def test_half_are_mirrored(example):
  flips = 0
  for seed in range(40):
    changed = augment(example, np.random.default_rng(seed), True, 1.0)
    if (changed["real"] == example["real"]).all():
      continue
    flips += 1
    for name in ("real", "composite", "mask"):
      np.testing.assert_array_equal(changed[name], example[name][:, ::-1])
  assert 10 < flips < 30


def test_crops_move_everything_together(example):
  seen = set()
  for seed in range(20):
    changed = augment(example, np.random.default_rng(seed), True, 0.3)
    assert_of_one_place(changed)
    for name, value in example.items():
      assert changed[name].shape == value.shape
      assert changed[name].dtype == value.dtype
    assert set(np.unique(changed["mask"])) <= {0, 1}
    assert changed["index"] == 7
    seen.add(changed["real"].tobytes())
  assert len(seen) == 20


@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks(example, value):
  example["mask"][:] = value
  changed = augment(example, np.random.default_rng(0), False, 0.3)
  assert (changed["mask"] == value).all()
  if value == 0:  # no crop holds an object: the whole image
    np.testing.assert_array_equal(changed["real"], example["real"])


def test_crops_keep_some_of_a_small_object(example):
  example["mask"][:] = 0
  example["mask"][0, 0] = 1
  for seed in range(10):
    changed = augment(example, np.random.default_rng(seed), False, 0.3)
    assert changed["mask"].sum() > 0
