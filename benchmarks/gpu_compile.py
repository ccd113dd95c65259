"""Compiles training and evaluation for a GPU, without one, and counts kernels.

    pip install "jax-cuda12-plugin==0.10.2" "jax-cuda12-pjrt==0.10.2" \\
        nvidia-cuda-nvcc-cu12  # this JAX's version; Linux
    python benchmarks/gpu_compile.py --record gpu.jsonl
    python benchmarks/gpu_compile.py --record gpu.jsonl --table

XLA compiles for a card that is described to it. Nothing runs, so that there are
no times, and no algorithm of a convolution is tried out: the memory that cuDNN
wants for them is not in these numbers. Each program is compiled in a process of
its own, and is a line of the file --record as soon as it is done; what the file
has is not compiled again.

    cuDNN, cuBLAS  calls of convolutions, of matrix products
    fused          kernels that XLA writes, of one or more operations
    others         copies, sorts and the like
    in loops       those of all that stand in a loop, as LD's search
    bytes          of the arrays that kernels take and give; loops count once
    temporary      memory besides arguments and results
    seconds        of a processor, to compile
"""

import argparse
import json
import pathlib
import sys
import time
from typing import Any

import ahead
import common
import environment
import kernels

PLUGIN = "jax-cuda12-plugin"
COMPILER = "nvidia-cuda-nvcc-cu12"
LIBRARIES = ("jax", "jaxlib", PLUGIN)
CONFIGS = ("hdnet_lite", "hdnet")
DTYPES = ("float32", "bfloat16")  # float32's products are in TF32
BATCHES = {"train": 12, "evaluation": 16}
ENVIRONMENT = {
  "JAX_PLATFORMS": "cpu",  # what is not compiled for the card
  "JAX_ENABLE_COMPILATION_CACHE": "0",
  "TF_CPP_MIN_LOG_LEVEL": "3",
}
# As XLA describes the card that docs/performance.md has times of.
CARD = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 7 }
runtime_version { major: 12 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


def measure(case: dict[str, Any], text: str | None) -> dict[str, Any]:
  """Compile a program; return the compiler's numbers of one step."""
  import tpu_programs
  from jax.experimental import topologies

  from hdnet_jax import devices

  program = tpu_programs.Case(pod="", **case)
  topology = topologies.get_topology_desc(
    platform="cuda", topology="1x1x1", target_config=CARD
  )
  mesh = devices.make_mesh(program.make_config().mesh, topology.devices)
  lowered = tpu_programs.lower(program, mesh)
  start = time.process_time()
  compiled = lowered.compile()
  seconds = time.process_time() - start
  if text:
    pathlib.Path(text).write_text(compiled.as_text(), encoding="utf-8")
  return {
    **case,
    "temporary": compiled.memory_analysis().temp_size_in_bytes,
    "kernels": kernels.count(compiled.as_text()),
    "seconds": seconds,
    **environment.versions_of(LIBRARIES),
  }


def main():
  parser = common.make_parser(__doc__)
  ahead.add_flags(parser)
  args = parser.parse_args()
  if args.child:
    child = json.loads(args.child)
    print(json.dumps(measure(child["case"], child["text"])))
    return
  if args.record is None:
    parser.error("--record FILE is required")
  failed = 0 if args.table else compile_all(parser, args)
  print_table(ahead.read(args.record))
  sys.exit(1 if failed else 0)


def compile_all(parser, args: argparse.Namespace) -> int:
  ahead.check_folders(parser, args)
  if environment.version_of(PLUGIN) is None:
    version = environment.version_of("jax")
    wanted = f"{PLUGIN}=={version} jax-cuda12-pjrt=={version}"
    parser.error(f"needs a compiler: pip install {wanted} {COMPILER}")
  return ahead.compile_missing(__file__, args, cases(), LIBRARIES, ENVIRONMENT)


def cases() -> list[dict[str, Any]]:
  return [
    {"config": config, "program": program, "batch": batch, "dtype": dtype}
    for program, batch in BATCHES.items()
    for config in CONFIGS
    for dtype in DTYPES
  ]


def print_table(rows: list[dict[str, Any]]) -> None:
  ahead.print_versions(rows, LIBRARIES)
  kinds = (*kernels.GROUPS, "in loops")
  common.print_table(
    (
      *("config", "program", "batch", "type", "kernels", *kinds),
      *("bytes", "temporary", "seconds"),
    ),
    [
      (
        *(row["config"], row["program"], str(row["batch"]), row["dtype"]),
        str(sum(row["kernels"].get(kind, 0) for kind in kernels.GROUPS)),
        *(str(row["kernels"].get(kind, 0)) for kind in kinds),
        ahead.amount(row["kernels"]["bytes"]),
        ahead.amount(row["temporary"]),
        f"{row['seconds']:.0f}",
      )
      for row in rows
    ],
  )


if __name__ == "__main__":
  main()
