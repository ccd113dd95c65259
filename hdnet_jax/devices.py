"""The mesh of devices, the shardings on it, and the compiler's options.

Batches are split over the mesh's axis `data`, and the height of their images
over `spatial`. Parameters are on every device. XLA inserts the communication,
so the same code runs on one CPU and on a pod.
"""

import collections
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hdnet_jax.config import MeshConfig
from hdnet_jax.errors import UserError

HostBatch = Mapping[str, np.ndarray]
Batch = dict[str, jax.Array]

# On CPUs, XLA's convolutions from the YNN library use one thread. Without them
# XLA uses Eigen's, which use all threads.
_CPU_OPTION = "xla_cpu_experimental_ynn_fusion_type"


def make_mesh(
  config: MeshConfig, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """Return the mesh that `config` asks for, of `devices` (all by default).

  Raises:
    UserError: where the devices are too few, or do not divide.
  """
  devices = jax.devices() if devices is None else list(devices)
  data = config.data or len(devices) // config.spatial
  count = data * config.spatial
  if not data or count > len(devices):
    raise UserError(
      f"config.mesh.data={config.data} and config.mesh.spatial="
      f"{config.spatial} need {max(count, config.spatial)} devices; there "
      f"{'is' if len(devices) == 1 else 'are'} {len(devices)}"
    )
  if jax.process_count() > 1 and (
    count != len(devices) or jax.local_device_count() % config.spatial
  ):
    raise UserError(
      f"config.mesh must use all {len(devices)} devices, and mesh.spatial must "
      f"divide the {jax.local_device_count()} of a process, not "
      f"data={config.data}, spatial={config.spatial}; set mesh.data=0"
    )
  # Ordered by process: process p reads rows p * b to (p + 1) * b of a batch.
  # `jax.make_mesh` orders a pod by its links, and would mix those rows.
  chosen = sorted(devices[:count], key=lambda device: device.process_index)
  return Mesh(
    np.array(chosen).reshape(data, config.spatial),
    ("data", "spatial"),
    axis_types=(AxisType.Auto, AxisType.Auto),
  )


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, dimensions: int) -> NamedSharding:
  """Split axis 0 over `data`; of [B, H, W, C] also axis 1 over `spatial`."""
  axes = ("data", "spatial") if dimensions == 4 else ("data",)
  return NamedSharding(mesh, PartitionSpec(*axes))


def put(batch: HostBatch, mesh: Mesh) -> Batch:
  """Place this process's rows of a batch, as global arrays on the mesh."""
  return {
    name: jax.make_array_from_process_local_data(split(mesh, array.ndim), array)
    for name, array in batch.items()
  }


def prefetch_to_device(
  batches: Iterable[HostBatch], mesh: Mesh, size: int = 1
) -> Iterator[Batch]:
  """Yield every batch on the mesh, and start copying the next `size`."""
  waiting: collections.deque = collections.deque()
  for batch in batches:
    waiting.append(put(batch, mesh))
    if len(waiting) > size:
      yield waiting.popleft()
  yield from waiting


def gather(array: jax.Array) -> np.ndarray:
  """Return the whole array on the host; every process must call this."""
  if array.is_fully_addressable or array.is_fully_replicated:
    return np.asarray(array)
  return multihost_utils.process_allgather(array, tiled=True)


def check_divides(name: str, batch_size: int, mesh: Mesh) -> None:
  """Raise UserError where a batch does not divide over the devices."""
  devices = mesh.shape["data"]
  if batch_size % devices:
    nearest = max(round(batch_size / devices), 1) * devices
    raise UserError(
      f"config.{name}={batch_size} does not divide over {devices} devices; "
      f"the nearest that does is {nearest}"
    )


@functools.cache
def compiler_options(
  platform: str, cpu_option: str = _CPU_OPTION
) -> dict[str, str]:
  """Return `compiler_options` of `jax.jit` for a platform, such as "cpu".

  Args:
    platform: of the devices, which need not be the default backend's.
    cpu_option: left out where jaxlib does not know it.
  """
  if platform != "cpu":
    return {}
  options = {cpu_option: "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
  try:
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
      jax.jit(lambda x: x, compiler_options=options).lower(0).compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return options
