"""Where a CPU's time goes in one image, layer by layer.

    python benchmarks/layers.py
    python benchmarks/layers.py --width 32

Prints, for the large convolutions at batch 1, milliseconds and the share of the
machine's peak: the faster of NumPy's and XLA's product of float32 matrices.
Ours are compiled one by one. ONNX Runtime's are those of the whole graph, by
its own profiler, as is all the rest of its time.
"""

import json
import pathlib
import tempfile
from collections import defaultdict

import common
import convolutions
import environment
import jax
import jax.numpy as jnp
import numpy as np
import programs

from hdnet_jax.config import ModelConfig
from hdnet_jax.model import conv_ops

CONVOLUTIONS = ("Conv", "ConvTranspose")


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--size", type=int, default=256, help="of the image")
  parser.add_argument(
    "--width", type=int, default=8, help="8 is HDNet-lite's n"
  )
  parser.add_argument("--peak", type=int, default=2048, help="matrices' side")
  parser.add_argument("--runs", type=int, default=20)
  common.add_common_flags(parser, official=False)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  jax.config.update("jax_platforms", "cpu")
  peak = max(peaks(args).values())
  onnx_seconds, rest = profile(args)
  results = []
  for layer, (flops, seconds) in time_convolutions(args).items():
    results.append(
      {
        "layer": layer,
        "gflop": flops / 1e9,
        "jax": seconds,
        "onnx": onnx_seconds[layer],
        "peak": flops / peak,
      }
    )
  common.print_table(
    ("layer", "GFLOP", "JAX, ms", "of peak", "ONNX Runtime, ms", "of peak"),
    [
      (
        row["layer"],
        common.short(row["gflop"]),
        *(
          cell
          for engine in ("jax", "onnx")
          for cell in (
            common.short(1e3 * row[engine]),
            f"{row['peak'] / row[engine]:.0%}",
          )
        ),
      )
      for row in results
    ],
  )
  print(f"peak {peak / 1e9:.0f} GFLOP/s; the rest of ONNX Runtime's time, ms:")
  most = sorted(rest.items(), key=lambda part: -part[1])
  shown = [f"{name} {common.short(1e3 * time)}" for name, time in most[:8]]
  others = sum(time for _, time in most[8:])
  print(", ".join([*shown, f"others {common.short(1e3 * others)}"]))
  common.write_json(args.json, machine, args, results, peak=peak, rest=rest)


def peaks(args) -> dict[str, float]:
  """Floating-point operations a second of NumPy's and XLA's products."""
  side = args.peak
  a, b = np.random.default_rng(0).random((2, side, side), np.float32)
  product = jax.jit(jnp.matmul)
  on_device = jnp.asarray(a), jnp.asarray(b)
  seconds = common.interleave(
    {
      "NumPy": lambda: a @ b,
      "XLA": lambda: jax.block_until_ready(product(*on_device)),
    },
    max(args.runs // 4, 1),
  )
  return {name: 2 * side**3 / min(times) for name, times in seconds.items()}


def time_convolutions(args) -> dict[str, tuple[int, float]]:
  """Of each layer, what it multiplies and adds, and JAX's median seconds."""
  rng = np.random.default_rng(0)
  flops, functions = {}, {}
  for layer, name, scale, inputs, outputs, size in convolutions.LAYERS:
    inputs = inputs if layer == "x0" else inputs * args.width // 8
    outputs = outputs if layer == "out" else outputs * args.width // 8
    side = args.size // scale
    x = rng.normal(size=(1, side, side, inputs)).astype(np.float32)
    kernel = rng.normal(size=(size, size, inputs, outputs)).astype(np.float32)
    function = programs.jit(getattr(conv_ops, f"cpu_{name}"))
    y = function(x, kernel)
    # A transposed convolution's products are those of its inputs.
    places = side**2 if name.startswith("up") else y.shape[1] * y.shape[2]
    flops[layer] = 2 * places * kernel.size
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    functions[layer] = lambda f=function, x=x, k=kernel: jax.block_until_ready(
      f(x, k)
    )
  seconds = common.interleave(functions, args.runs)
  return {
    layer: (flops[layer], common.quantile(seconds[layer], 0.5))
    for layer in functions
  }


def profile(args) -> tuple[dict[str, float], dict[str, float]]:
  """Seconds of ONNX Runtime's convolutions by layer, and of all the rest.

  The graph's other convolutions, of an eighth of the image's size, are `small`.
  """
  import onnxruntime

  from hdnet_jax.onnx import network

  model = ModelConfig(width=args.width)
  graph = network.build(programs.random_params(model), model)
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = args.threads or environment.usable_threads()
  options.enable_profiling = True
  composite, mask = common.inputs(args.size)
  with tempfile.TemporaryDirectory() as folder:
    options.profile_file_prefix = str(pathlib.Path(folder) / "profile")
    session = onnxruntime.InferenceSession(
      graph, options, providers=["CPUExecutionProvider"]
    )
    for _ in range(args.runs):
      session.run(None, {"composite": composite, "mask": mask})
    events = json.loads(pathlib.Path(session.end_profiling()).read_text())
  nodes = defaultdict(list)
  for event in events:
    if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
      name = event["name"].removesuffix("_kernel_time")
      nodes[name, event["args"]["op_name"]].append(event["dur"] / 1e6)
  layers = {layer for layer, *_ in convolutions.LAYERS}
  found, rest = {}, defaultdict(float)
  for (name, operation), times in nodes.items():
    # What is in a loop runs several times.
    seconds = common.quantile(times, 0.5) * len(times) / args.runs
    # x0 has no norm: it is fused into what follows, and takes its plain name.
    layer = name.split("/")[0] if "/" in name else "x0"
    if operation not in CONVOLUTIONS:
      rest[operation] += seconds
    elif layer in layers:
      if layer in found:
        raise ValueError(f"{name} and another node are both of {layer}")
      found[layer] = seconds
    else:
      rest["small convolutions"] += seconds
  return found, dict(rest)


if __name__ == "__main__":
  main()
