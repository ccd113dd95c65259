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
import collections
import json
import pathlib
import re
import sys
import time
from typing import Any

import collectives
import common
import tpu_compile

PLUGIN = "jax-cuda12-plugin"
COMPILER = "nvidia-cuda-nvcc-cu12"
VERSIONS = ("jax", "jaxlib", PLUGIN)
CONFIGS = ("hdnet_lite", "hdnet")
DTYPES = ("float32", "bfloat16")  # float32's products are in TF32
GROUPS = ("cuDNN", "cuBLAS", "fused", "others")
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
# What is not a kernel.
_FREE = {
  *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
  *("after-all", "call", "while", "conditional", "partition-id"),
}
_COMPUTATION = re.compile(r"^(?P<entry>ENTRY )?%?(?P<name>[\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(
  r"^\s+(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<type>\(.*?\)|\S+) "
  r"(?P<kind>[\w-]+)\((?P<operands>[^)]*)\)(?P<rest>.*)"
)
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_BODIES = re.compile(r"(?:body|condition)=%?([\w.-]+)")
_CALLED = re.compile(r"to_apply=%?([\w.-]+)")
_BRANCHES = re.compile(
  r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.-]+))"
)


def kernels(text: str) -> dict[str, int]:
  """Count what a step starts on the card, from XLA's text of the program.

  Returns:
    Kernels by GROUPS, those "in loops", and the "bytes" of the arrays that all
    of them take and give.
  """
  computations, entry = parse(text)
  count = collections.Counter()
  pending = [(entry, False)]
  while pending:
    name, looped = pending.pop()
    sizes = {}
    for found in computations[name]:
      kind, operands = found["kind"], found["operands"].split(",")
      sizes[found["name"]] = sum(
        array.size for array in collectives.arrays_of(found["type"])
      )
      pending += [(other, looped) for other in called(kind, found["rest"])]
      if kind == "while":
        pending += [(other, True) for other in _BODIES.findall(found["rest"])]
      if kind in _FREE:
        continue
      count[group(kind, found["rest"])] += 1
      count["in loops"] += looped
      count["bytes"] += sizes[found["name"]] + sum(
        sizes.get(operand.split()[-1].strip("%"), 0)
        for operand in operands
        if operand.strip()
      )
  return dict(count)


def parse(text: str) -> tuple[dict[str, list[re.Match]], str | None]:
  """The instructions of every computation, and the name of the first one."""
  computations, name, entry = {}, None, None
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      name = found["name"]
      computations[name] = []
      entry = name if found["entry"] else entry
    elif name and (found := _INSTRUCTION.match(line)):
      computations[name].append(found)
  return computations, entry


def called(kind: str, rest: str) -> list[str]:
  """The computations that an instruction runs in its place, but for loops."""
  if kind == "call":
    return _CALLED.findall(rest)
  if kind == "conditional":
    names = [a or b for a, b in _BRANCHES.findall(rest)]
    return [name.strip(" %") for part in names for name in part.split(",")]
  return []


def group(kind: str, rest: str) -> str:
  if kind == "fusion":
    return "fused"
  target = _TARGET.search(rest)
  if target and "cudnn" in target[1]:
    return "cuDNN"
  if target and "cublas" in target[1]:
    return "cuBLAS"
  return "others"


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
    "kernels": kernels(compiled.as_text()),
    "seconds": seconds,
    **{name: common.version_of(name) for name in VERSIONS},
  }


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument(
    "--record", type=pathlib.Path, metavar="FILE", help="the results, as JSON"
  )
  parser.add_argument(
    "--table", action="store_true", help="print what the file has"
  )
  parser.add_argument(
    "--text", type=pathlib.Path, metavar="FOLDER", help="keep programs as text"
  )
  parser.add_argument("--child", help=argparse.SUPPRESS)
  args = parser.parse_args()
  if args.child:
    child = json.loads(args.child)
    print(json.dumps(measure(child["case"], child["text"])))
    return
  if args.record is None:
    parser.error("--record FILE is required")
  for folder in (args.record.parent, args.text):
    if folder and not folder.is_dir():
      parser.error(f"there is no folder {folder}")
  failed = 0 if args.table else compile_all(parser, args)
  print_table(tpu_compile.read(args.record))
  sys.exit(1 if failed else 0)


def compile_all(parser, args: argparse.Namespace) -> int:
  """Compile what the record lacks; return how many programs went wrong."""
  if common.version_of(PLUGIN) is None:
    version = common.version_of("jax")
    wanted = f"{PLUGIN}=={version} jax-cuda12-pjrt=={version}"
    parser.error(f"needs a compiler: pip install {wanted} {COMPILER}")
  versions = {name: common.version_of(name) for name in VERSIONS}
  done = [
    row
    for row in tpu_compile.read(args.record)
    if versions.items() <= row.items()
  ]
  failed = 0
  for case in cases():
    if any(case.items() <= row.items() for row in done):
      continue
    name = "-".join(map(str, case.values()))
    print(name, end=": ", flush=True)
    text = args.text and str(args.text / f"{name}.txt")
    row = common.run_child(
      __file__, {"case": case, "text": text}, env=ENVIRONMENT
    )
    if "config" not in row:
      failed += 1
      print(row["error"], flush=True)
      continue
    with args.record.open("a", encoding="utf-8") as file:
      file.write(json.dumps(row) + "\n")
    print(f"{row['seconds']:.0f} s", flush=True)
  return failed


def cases() -> list[dict[str, Any]]:
  return [
    {"config": config, "program": program, "batch": batch, "dtype": dtype}
    for program, batch in BATCHES.items()
    for config in CONFIGS
    for dtype in DTYPES
  ]


def print_table(rows: list[dict[str, Any]]) -> None:
  for versions in sorted(
    {" ".join(f"{name} {row[name]}" for name in VERSIONS) for row in rows}
  ):
    print(versions)
  kinds = (*GROUPS, "in loops")
  common.print_table(
    (
      *("config", "program", "batch", "type", "kernels", *kinds),
      *("bytes", "temporary", "seconds"),
    ),
    [
      (
        *(row["config"], row["program"], str(row["batch"]), row["dtype"]),
        str(sum(row["kernels"].get(kind, 0) for kind in GROUPS)),
        *(str(row["kernels"].get(kind, 0)) for kind in kinds),
        tpu_compile.amount(row["kernels"]["bytes"]),
        tpu_compile.amount(row["temporary"]),
        f"{row['seconds']:.0f}",
      )
      for row in rows
    ],
  )


if __name__ == "__main__":
  main()
