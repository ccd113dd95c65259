"""The programs that `tpu_compile.py` compiles, for TPUs that are not there.

They are those of training and evaluation themselves: jitted by the same
functions on the same mesh. Arrays are shapes with shardings alone.
"""

import dataclasses
import importlib
import pathlib
import re
import time
from typing import Any

import collectives
import environment
import jax
from jax.experimental import topologies
from jax.sharding import Mesh
from tpu_pods import PODS

from hdnet_jax import devices
from hdnet_jax.config import Config
from hdnet_jax.evaluation.evaluator import make_eval_step, network
from hdnet_jax.training.state import (
  abstract_state,
  make_optimizer,
  make_start,
)
from hdnet_jax.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class Case:
  config: str  # a module of hdnet_jax.configs
  pod: str  # of PODS
  program: str  # "train" or "evaluation"
  batch: int  # over all devices
  spatial: int = 1  # devices that an image's height is split over
  dtype: str = "bfloat16"
  size: int | None = None  # of the images, if not the config's
  width: int | None = None  # of the network, if not the config's

  def make_config(self) -> Config:
    module = importlib.import_module(f"hdnet_jax.configs.{self.config}")
    config = module.get_config()
    config.batch_size = config.eval_batch_size = self.batch
    config.mesh.spatial = self.spatial
    config.model.dtype = self.dtype
    if self.size:
      config.data.image_size = self.size
    if self.width:
      config.model.width = self.width
    return Config.from_dict(config.to_dict())


def make_mesh(case: Case) -> Mesh:
  """The mesh of the run's processes, though this is another one."""
  pod = PODS[case.pod]
  topology = topologies.get_topology_desc(
    platform="tpu", topology_name=pod.topology, **pod.arguments
  )
  mesh = devices.make_mesh(case.make_config().mesh, topology.devices)
  devices.check_divides("batch_size", case.batch, mesh)
  if any(len(set(hosts)) > 1 for hosts in processes(mesh)):
    raise SystemExit(f"{case}: an image would be on two hosts")
  return mesh


def processes(mesh: Mesh) -> list[list[int]]:
  """The host of every device, by rows of `spatial`."""
  return [[device.process_index for device in row] for row in mesh.devices]


def lower(case: Case, mesh: Mesh) -> jax.stages.Lowered:
  config = case.make_config()
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1e3)
  state = abstract_state(make_start(config, optimizer, mesh), mesh)
  batch = make_batch(case, config, mesh)
  if case.program == "train":
    return make_train_step(config, optimizer, mesh).lower(state, batch)
  method = network(config.model)
  step = make_eval_step(config, method, mesh)
  return step.lower(state.eval_params, batch)


def make_batch(
  case: Case, config: Config, mesh: Mesh
) -> dict[str, jax.ShapeDtypeStruct]:
  """What the pipeline delivers: layers of photos, or composites."""
  channels = {"composite": 3, "real": 3, "mask": 1}
  if config.data.makes_composites:
    channels = {"background": 3, "object": 3, "alpha": 1}
    if case.program == "evaluation":
      channels |= {"donor_object": 3, "donor_alpha": 1}
  size = config.data.image_size
  shapes = {name: (size, size, count) for name, count in channels.items()}
  return {
    name: jax.ShapeDtypeStruct(
      (case.batch, *shape),
      "uint8" if shape else "int32",
      sharding=devices.split(mesh, 1 + len(shape)),
    )
    for name, shape in {**shapes, "index": ()}.items()
  }


def measure(case: Case, text: str | None = None) -> dict[str, Any]:
  """Compile, and tell what the compiler says of the program.

  Args:
    text: file for the program as XLA writes it.
  """
  mesh = make_mesh(case)
  row = {
    **dataclasses.asdict(case),
    "mesh": [mesh.shape["data"], mesh.shape["spatial"]],
    "hosts": len({host for row in processes(mesh) for host in row}),
    "memory": PODS[case.pod].memory,
    "image_size": case.make_config().data.image_size,
    **environment.versions_of(("jax", "jaxlib", "libtpu")),
  }
  lowered = lower(case, mesh)
  start = time.process_time()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    return row | {"error": str(error).strip().splitlines()[0][:300]}
  row["seconds"] = time.process_time() - start  # of a processor
  if text:
    pathlib.Path(text).write_text(compiled.as_text(), encoding="utf-8")
  return row | describe(compiled)


def describe(compiled: jax.stages.Compiled) -> dict[str, Any]:
  """Numbers of one device and one step."""
  memory, text = compiled.memory_analysis(), compiled.as_text()
  costs = compiled.cost_analysis()
  found = collectives.read(text)
  largest = {x.kind: x for x in sorted(found, key=lambda x: x.size)}
  cycles = re.findall(r'"estimated_cycles":"(\d+)"', text)
  return {
    "arguments": memory.argument_size_in_bytes,
    "outputs": memory.output_size_in_bytes,
    "aliases": memory.alias_size_in_bytes,
    "temporary": memory.temp_size_in_bytes,
    "code": memory.generated_code_size_in_bytes,
    "flops": costs["flops"],
    "bytes": costs["bytes accessed"],
    "cycles": sum(map(int, cycles)),
    "collectives": collectives.by_kind(found),
    "looped": collectives.by_kind(x for x in found if x.looped),
    "largest": [
      {
        "kind": x.kind,
        "size": x.size,
        "shape": max(x.arrays, key=lambda array: array.size).shape,
        "source": x.source,
      }
      for x in largest.values()
    ],
  }
