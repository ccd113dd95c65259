"""Where arrays live: the mesh of devices, and what is split over it.

The mesh has two axes. Batches are split over `data`, and the height of their
images over `spatial`; parameters are on every device. The same code runs on
one CPU and on a pod: XLA puts in what must be exchanged, which are the
gradients' sum, the norms' and pools' sums, the rows at the seams of
convolutions, and the features that LD searches.
"""

import collections
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hdnet_jax.config import MeshConfig
from hdnet_jax.data.examples import Example
from hdnet_jax.errors import UserError


def make_mesh(
  config: MeshConfig, devices: Sequence[jax.Device] | None = None
) -> Mesh:
  """The mesh that `config` asks for, of `devices` (all by default).

  Raises:
    UserError: where the devices are too few, or do not divide.
  """
  devices = jax.devices() if devices is None else list(devices)
  data = config.data or len(devices) // config.spatial
  wanted = data * config.spatial
  if not data or wanted > len(devices):
    raise UserError(
      f"config.mesh.data={config.data} and config.mesh.spatial="
      f"{config.spatial} need {max(wanted, config.spatial)} devices; there "
      f"{'is' if len(devices) == 1 else 'are'} {len(devices)}"
    )
  if jax.process_count() > 1 and (
    wanted != len(devices) or jax.local_device_count() % config.spatial
  ):
    raise UserError(
      f"config.mesh must use all {len(devices)} devices, and mesh.spatial must "
      f"divide the {jax.local_device_count()} of a process, not "
      f"data={config.data}, spatial={config.spatial}; set mesh.data=0"
    )
  # Process by process, and every image within one: a process reads its own rows
  # of a batch, p * b to (p + 1) * b, and rows that are gathered come in order.
  # `jax.make_mesh` lays out a pod by its wires, on which rows would be mixed.
  chosen = sorted(devices[:wanted], key=lambda device: device.process_index)
  return Mesh(
    np.array(chosen).reshape(data, config.spatial),
    ("data", "spatial"),
    axis_types=(AxisType.Auto, AxisType.Auto),
  )


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, dimensions: int) -> NamedSharding:
  """The leading axis over `data`; of images, [B, H, W, C], also the height."""
  axes = ("data", "spatial") if dimensions == 4 else ("data",)
  return NamedSharding(mesh, PartitionSpec(*axes))


def put(batch: Example, mesh: Mesh) -> dict[str, jax.Array]:
  """This process's rows of a batch, as global arrays on the devices."""
  return {
    name: jax.make_array_from_process_local_data(split(mesh, array.ndim), array)
    for name, array in batch.items()
  }


def put_ahead(
  batches: Iterable[Example], mesh: Mesh, ahead: int = 1
) -> Iterator[dict[str, jax.Array]]:
  """`put` of every batch, started `ahead` batches before it is asked for.

  Copies to the devices run while they compute.
  """
  waiting: collections.deque = collections.deque()
  for batch in batches:
    waiting.append(put(batch, mesh))
    if len(waiting) > ahead:
      yield waiting.popleft()
  yield from waiting


def gather(array: jax.Array) -> np.ndarray:
  """The whole array on the host; every process must call this."""
  if array.is_fully_addressable or array.is_fully_replicated:
    return np.asarray(array)
  return multihost_utils.process_allgather(array, tiled=True)


def check_divides(name: str, batch_size: int, mesh: Mesh) -> None:
  """Raises UserError where a batch does not spread evenly over the devices."""
  devices = mesh.shape["data"]
  if batch_size % devices:
    nearest = max(round(batch_size / devices), 1) * devices
    raise UserError(
      f"config.{name}={batch_size} does not divide over {devices} devices; "
      f"the nearest that does is {nearest}"
    )
