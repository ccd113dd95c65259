"""Serialized programs, read again by a process that has jax alone."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from hdnet_jax.app.export import stablehlo
from hdnet_jax.config import ModelConfig

from ...random_networks import in_jax, params_of

# Every size of a program is compiled: the smallest network.
TINY = ModelConfig(width=1)
SIZE = 64, 264  # a little above the least number of pixels


def make_inputs(rng: np.random.Generator, *shape: int):
  """Images in -1 to 1, and a rectangle."""
  image = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
  mask = np.zeros((*shape, 1), np.float32)
  mask[:, 3:20, 5:30] = 1
  return image, mask


SCRIPT = """
import sys, pathlib
import jax, numpy as np
data = bytearray(pathlib.Path(sys.argv[1]).read_bytes())
program = jax.export.deserialize(data)
assert program.platforms == ("cpu", "cuda", "tpu")
inputs = np.load(sys.argv[2])
np.save(sys.argv[3], program.call(inputs["image"], inputs["mask"]))
assert not {"flax", "hdnet_jax"} & set(sys.modules)
for shape in ((1, 128, 132), (1, 8, 8)):
  try:
    program.call(np.zeros((*shape, 3), "f4"), np.zeros((*shape, 1), "f4"))
  except ValueError:
    continue
  raise SystemExit(f"{shape} is taken")
"""


def test_a_fresh_process_runs_it(tmp_path, rng):
  file, inputs, output = (
    tmp_path / name for name in ("x.stablehlo", "in.npz", "out.npy")
  )
  file.write_bytes(stablehlo.build(params_of(TINY), TINY).serialize())
  image, mask = make_inputs(rng, 2, *SIZE)
  np.savez(inputs, image=image, mask=mask)
  result = subprocess.run(
    [sys.executable, "-c", SCRIPT, str(file), str(inputs), str(output)],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert result.returncode == 0, result.stderr
  expected = in_jax(TINY)(image, mask)
  assert abs(expected - image).max() > 0.1
  np.testing.assert_allclose(np.load(output), expected, rtol=0, atol=1e-5)


def test_a_fixed_size_of_bytes(rng):
  exported = stablehlo.build(params_of(TINY), TINY, SIZE, "uint8")
  program = jax.export.deserialize(exported.serialize())
  _, mask = make_inputs(rng, 2, *SIZE)
  mask = (mask * 255).astype(np.uint8)
  image = rng.integers(0, 256, (2, *SIZE, 3), np.uint8)
  result = np.asarray(program.call(image, mask))
  assert result.dtype == np.uint8
  scaled = image.astype(np.float32) / 127.5 - 1
  expected = np.rint((in_jax(TINY)(scaled, mask / np.float32(255)) + 1) * 127.5)
  assert abs(result - expected).max() <= 1
  assert (result != image).any()
  copies = np.broadcast_to(mask == 0, image.shape)
  np.testing.assert_array_equal(result[copies], image[copies])


def test_more_neighbors_and_any_size():
  # Fewer neighbors than the least number of positions: no size is refused.
  model = ModelConfig(width=1, neighbors=3)
  exported = stablehlo.build(params_of(model), model)
  shape = ", ".join(map(str, exported.out_avals[0].shape))
  assert shape == "batch, 8*rows, 8*columns, 3"


@pytest.mark.parametrize("size", [(0, 8), (20, 32)])
def test_sizes_that_are_refused(size):
  with pytest.raises(ValueError, match="multiple of 8"):
    stablehlo.build(params_of(TINY), TINY, size)


def test_each_platform_has_its_own_forms():
  """Also where a CPU exports: others do not get the forms that suit it."""
  program = stablehlo.build(params_of(TINY), TINY, (16, 16)).mlir_module()
  # The paper's transposed convolutions, and a CPU's in their place.
  assert "lhs_dilate = [2, 2]" in program
  assert "case" in program
  here = in_jax(TINY).lower(*make_inputs(np.random.default_rng(0), 1, 16, 16))
  assert "lhs_dilate = [2, 2]" not in here.as_text()
