"""Where arrays live: batches split over the `data` axis, the rest copied."""

from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hdnet_jax.data.records import Example
from hdnet_jax.errors import UserError


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A one-axis mesh over `devices`, by default all of them."""
  devices = jax.devices() if devices is None else list(devices)
  return jax.make_mesh(
    (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
  )


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
  """The leading axis over the devices."""
  return NamedSharding(mesh, PartitionSpec("data"))


def put(batch: Example, mesh: Mesh) -> dict[str, jax.Array]:
  """This process's part of a batch, as global arrays on the devices."""
  return {
    name: jax.make_array_from_process_local_data(split(mesh), array)
    for name, array in batch.items()
  }


def check_divides(name: str, batch_size: int, mesh: Mesh) -> None:
  """Raises UserError where a batch does not spread evenly over the devices."""
  devices = mesh.size
  if batch_size % devices:
    nearest = max(round(batch_size / devices), 1) * devices
    raise UserError(
      f"config.{name}={batch_size} does not divide over {devices} devices; "
      f"the nearest that does is {nearest}"
    )
