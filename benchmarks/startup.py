"""Times the way from a new process to its first harmonized picture.

    python benchmarks/startup.py
    python benchmarks/startup.py --weights FILE --size 512 --runs 9
    python benchmarks/startup.py --official HDNet --form official

Every run is a process of its own, on the CPU: Python starts, imports, loads
the network, compiles, and harmonizes a picture in memory, of the same size in
every row. Columns are what each took:

    import   Python and the libraries
    load     weights from their file, and the harmonizer (the session, the
             authors' network, whose weights are drawn)
    first    the first picture, with what is compiled for it
    total    all of it, from before the process was started
    second   another picture, then

Rows: our harmonizer in mode "direct", where the network sees the picture's
size, as it does in the others: without a compilation cache, with an empty one,
and with a warm one (JAX's `JAX_COMPILATION_CACHE_DIR`, every program kept), and
with the engine ONNX Runtime. Then ONNX Runtime alone, where it is installed,
and the authors' code with --official. Medians; the rows take turns. Files are
in the system's own cache: each row is run once before.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

EMPTY = "empty cache"


def main():
  import common

  parser = common.make_parser(__doc__)
  parser.add_argument("--weights", type=pathlib.Path, help="(default: random)")
  parser.add_argument("--width", type=int, default=8, help="of random weights")
  parser.add_argument("--size", type=int, default=256, help="of the picture")
  common.add_form_flag(parser)
  parser.add_argument("--runs", type=int, default=5, help="of each row")
  common.add_common_flags(parser)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  with tempfile.TemporaryDirectory() as folder:
    results = measure(args, pathlib.Path(folder))
  print_table(results)
  print(f"Pictures of {args.size}x{args.size}, {args.runs} runs.")
  common.write_json(args.json, machine, args, results)


def measure(args: argparse.Namespace, folder: pathlib.Path) -> list[dict]:
  import common

  rows = make_rows(args, folder)
  runs: dict[str, list[dict]] = {name: [] for name in rows}
  for turn in range(args.runs + 1):
    for name, (case, env) in rows.items():
      if name == EMPTY:
        env = env | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/empty{turn}"}
      began = time.time()
      env = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"} | env
      run = common.run_child(__file__, case, env=env)
      if "error" in run:
        sys.exit(f"{name}: {run['error']}")
      if turn:  # the first one fills caches
        runs[name].append(phases(began, run))
  return [
    {
      "row": name,
      **{
        phase: common.summary([run[phase] for run in found])
        for phase in found[0]
      },
    }
    for name, found in runs.items()
  ]


def make_rows(args: argparse.Namespace, folder: pathlib.Path) -> dict:
  """What a process does, and its environment, by the name of the row."""
  import common
  import programs

  from hdnet_jax import weights
  from hdnet_jax.config import ModelConfig

  if args.weights:
    params, model, _ = weights.load(args.weights)
  else:
    model = ModelConfig(args.width, args.form)
    params = programs.random_params(model)
  file = folder / "weights.safetensors"
  weights.save(file, params, model)
  shared = {"size": args.size, "width": model.width}
  case = {"kind": "ours", "file": os.fspath(file), "engine": "jax"} | shared
  keep = {
    "JAX_ENABLE_COMPILATION_CACHE": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
  }
  warm = keep | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/warm"}
  rows = {
    "no cache": (case, {"JAX_ENABLE_COMPILATION_CACHE": "0"}),
    EMPTY: (case, keep),
    "warm cache": (case, warm),
    "engine onnxruntime": (case | {"engine": "onnxruntime"}, {}),
  }
  kinds = common.kinds(args.official)
  if "onnx" in kinds:
    from hdnet_jax.onnx import network

    graph = folder / "network.onnx"
    size = args.size, args.size
    graph.write_bytes(network.build(params, model, size))
    onnx = {"kind": "onnx", "file": os.fspath(graph)} | shared
    rows[common.TITLES["onnx"]] = onnx, {}
  if "official" in kinds:
    clone = {"kind": "official", "file": os.fspath(args.official.resolve())}
    rows[common.TITLES["official"]] = clone | shared, {}
  return rows


def phases(began: float, run: dict[str, float]) -> dict[str, float]:
  """Seconds of each column, from the times at which they ended."""
  ends = [began, run["import"], run["load"], run["first"], run["second"]]
  names = ("import", "load", "first", "second")
  found = {
    name: after - before
    for name, before, after in zip(names, ends[:-1], ends[1:], strict=True)
  }
  return found | {"total": run["first"] - began}


def child(case: dict) -> dict[str, float]:
  """Times at which the phases of this process ended."""
  start = {"ours": start_ours, "onnx": start_onnx, "official": start_official}
  steps = start[case["kind"]](case)
  next(steps)
  ends = {"import": time.time()}
  harmonize = next(steps)
  ends["load"] = time.time()
  for name in ("first", "second"):
    harmonize()
    ends[name] = time.time()
  return ends


def start_ours(case: dict):
  """Imports, then loads: gives the function that harmonizes."""
  import numpy as np

  from hdnet_jax import Harmonizer

  yield
  harmonizer = Harmonizer.from_pretrained(
    case["file"], mode="direct", engine=case["engine"]
  )
  size = case["size"]
  rng = np.random.default_rng(0)
  photo = rng.integers(0, 256, (size, size, 3), np.uint8)
  mask = np.zeros((size, size), bool)
  mask[: size // 4] = True
  yield lambda: harmonizer(photo, mask)


def start_onnx(case: dict):
  import common
  import environment
  import onnxruntime

  yield
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = environment.usable_threads()
  session = onnxruntime.InferenceSession(
    case["file"], options, providers=["CPUExecutionProvider"]
  )
  composite, mask = common.inputs(case["size"])
  yield lambda: session.run(None, {"composite": composite, "mask": mask})


def start_official(case: dict):
  import common
  import environment
  import official
  import torch  # noqa: F401 (what is timed is its import)

  yield
  model = official.load_model(
    case["file"], case["width"], environment.usable_threads()
  )
  yield official.make_forward(model, *common.inputs(case["size"]))


def print_table(results: list[dict]) -> None:
  import common

  columns = ("import", "load", "first", "total", "second")
  common.print_table(
    ("row", *columns, "total, 10 % to 90 %"),
    [
      (
        row["row"],
        *(f"{common.short(row[name]['median'])} s" for name in columns),
        f"{common.spread(row['total']['seconds'])} s",
      )
      for row in results
    ],
  )


if __name__ == "__main__":
  if sys.argv[1:2] == ["--child"]:  # nothing is imported that is not timed
    print(json.dumps(child(json.loads(sys.argv[2]))))
  else:
    main()
