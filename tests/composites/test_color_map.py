import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from hdnet_jax.composites.color_map import apply_map, load_maps
from hdnet_jax.errors import UserError


@pytest.fixture
def table(rng) -> np.ndarray:
  return rng.integers(0, 256, (5, 5, 5, 3), dtype=np.uint8)


def test_interpolates_as_scipy_does(rng, table):
  photo = rng.uniform(size=(8, 9, 3)).astype(np.float32)
  photo[0, 0], photo[0, 1] = 0, 1
  axis = np.linspace(0, 1, 5)
  expected = RegularGridInterpolator((axis,) * 3, table / 255)(photo)
  result = jax.jit(apply_map)(table, photo)
  np.testing.assert_allclose(result, expected, atol=1e-5)


def test_is_exact_at_entries(table):
  for place in [(0, 0, 0), (4, 4, 4), (1, 2, 3), (4, 0, 2)]:
    photo = jnp.array([place]) / 4
    np.testing.assert_allclose(
      apply_map(jnp.asarray(table), photo)[0], table[place] / 255, atol=1e-6
    )


def test_files_are_read_and_others_refused(tmp_path, table):
  np.savez(tmp_path / "maps.npz", maps=table[None])
  np.testing.assert_array_equal(load_maps(tmp_path / "maps.npz"), table[None])
  np.savez(tmp_path / "other.npz", tables=table[None])
  np.savez(tmp_path / "shape.npz", maps=table)
  (tmp_path / "text.npz").write_text("no")
  for name in ("other", "shape", "text", "missing"):
    with pytest.raises(UserError, match=rf"{name}\.npz.*uint8 \[count"):
      load_maps(tmp_path / f"{name}.npz")
