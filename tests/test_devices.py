"""Meshes, shardings, batches on their way, the compiler's options."""

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from hdnet_jax import devices
from hdnet_jax.config import MeshConfig
from hdnet_jax.errors import UserError


def test_batch_that_does_not_divide_names_the_nearest():
  mesh = devices.make_mesh(MeshConfig())
  with pytest.raises(UserError, match=r"batch_size=12 .* 8 devices.* is 16"):
    devices.check_divides("batch_size", 12, mesh)
  devices.check_divides("batch_size", 16, mesh)


@pytest.mark.parametrize(
  ("config", "shape"),
  [(MeshConfig(0, 2), (4, 2)), (MeshConfig(2, 2), (2, 2))],
  ids=str,
)
def test_meshes(config, shape):
  assert devices.make_mesh(config).devices.shape == shape


def test_too_few_devices():
  with pytest.raises(UserError, match="need 16 devices; there are 8"):
    devices.make_mesh(MeshConfig(16))
  with pytest.raises(UserError, match="need 2 devices; there is 1"):
    devices.make_mesh(MeshConfig(0, 2), jax.devices()[:1])


@dataclasses.dataclass(frozen=True)
class Device:
  """What a mesh asks of a device."""

  id: int
  process_index: int
  platform: str = "tpu"
  device_kind: str = "TPU v5 lite"


def fake_pod() -> list[Device]:
  """A v5e-16, in the order of `jax.make_mesh`."""
  order = [0, 0, 1, 1, 1, 1, 0, 2, 3, 3, 3, 3, 2, 2, 2, 0]
  return [Device(number, process) for number, process in enumerate(order)]


POD = """
import json
from jax.experimental import topologies
pod = topologies.get_topology_desc(platform="tpu", topology_name="v5e:4x4")
print(json.dumps([(x.id, x.process_index) for x in pod.devices]))
"""


@functools.cache
def libtpu_pod() -> list[Device]:
  """The same, as libtpu has it; in another process, whose TPU it would take."""
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, though no TPU")
  done = subprocess.run(
    [sys.executable, "-c", POD],
    capture_output=True,
    text=True,
    env={**os.environ, "TPU_SKIP_MDS_QUERY": "1"},
  )
  assert done.returncode == 0, done.stderr
  numbers = json.loads(done.stdout.splitlines()[-1])
  return [Device(*of_device) for of_device in numbers]


@pytest.mark.parametrize(
  "pod", [fake_pod, pytest.param(libtpu_pod, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("spatial", [1, 2, 4])
def test_a_mesh_is_laid_out_process_by_process(monkeypatch, pod, spatial):
  """Each image is then within a process, as `spatial` divides its devices."""
  monkeypatch.setattr(jax, "process_count", lambda: 4)
  monkeypatch.setattr(jax, "local_device_count", lambda: 4)
  mesh = devices.make_mesh(MeshConfig(0, spatial), pod())
  found = [device.process_index for device in mesh.devices.flat]
  assert found == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
  assert len({device.id for device in mesh.devices.flat}) == 16


def test_batches_are_prefetched():
  mesh, read = devices.make_mesh(MeshConfig()), []

  def batches():
    for number in range(4):
      read.append(number)
      yield {"index": np.full(8, number, np.int32)}

  ahead = devices.prefetch_to_device(batches(), mesh, size=2)
  assert int(next(ahead)["index"][0]) == 0
  assert read == [0, 1, 2]
  assert [int(batch["index"][0]) for batch in ahead] == [1, 2, 3]


def test_compiler_options_are_of_the_platform_and_compile():
  options = devices.compiler_options("cpu")
  double = jax.jit(lambda x: 2 * x, compiler_options=options)
  assert double(3) == 6
  # The installed jaxlib knows it, or times in docs/performance.md are others.
  assert options
  assert devices.compiler_options("gpu") == {}


def test_an_unknown_compiler_option_is_left_out():
  assert devices.compiler_options("cpu", "xla_of_another_version") == {}
