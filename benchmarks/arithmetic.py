"""Counts the arithmetic of the network and of a training step.

    python benchmarks/arithmetic.py
    python benchmarks/arithmetic.py --size 1024 --batch 1

Floating-point operations (a multiplication and an addition are two) of the
convolutions and matrix products, read off the program that JAX traces; nothing
runs. The convolutions are those of the paper, as GPUs and TPUs run them: the
forms for CPUs trade more operations for faster ones. What multiplies the zeros
between a transposed convolution's inputs is not counted. Nor is the search of
LD, whose length depends on the mask: with a quarter of the image foreground it
is 3 N^2 / 8 products of vectors of 8n channels, N = (size / 8)^2.
"""

import dataclasses
import math
import pathlib

import common
import environment
import jax
import jax.extend
import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model import conv_ops
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.training.loss import foreground_loss


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--size", type=int, default=256, help="of the images")
  parser.add_argument("--batch", type=int, default=12)
  parser.add_argument("--width", type=int, nargs="+", default=[8, 32])
  parser.add_argument("--json", type=pathlib.Path)
  args = parser.parse_args()
  results = [
    {"width": width, **count(width, args.size, args.batch)}
    for width in args.width
  ]
  common.print_table(
    ("network", "parameters", "an image forward", "a step", "step / forward"),
    [
      (
        f"{common.NAMES.get(row['width'], 'HDNet')} (n={row['width']})",
        f"{row['parameters'] / 1e6:.2f} M",
        f"{row['forward'] / 1e9:.1f} GFLOP",
        f"{row['step'] / 1e9:.0f} GFLOP",
        f"{row['step'] / row['forward'] / args.batch:.2f}",
      )
      for row in results
    ],
  )
  print(f"{args.size}x{args.size}, steps of a batch of {args.batch}.")
  common.write_json(args.json, environment.describe_machine(), args, results)


def count(width: int, size: int, batch: int) -> dict[str, int]:
  """Parameters, and operations of a forward pass (one image) and of a step."""
  network = HDNet(**dataclasses.asdict(ModelConfig(width=width)))
  image, mask = (
    jax.ShapeDtypeStruct((batch, size, size, channels), np.float32)
    for channels in (3, 1)
  )
  single = [
    jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype) for x in (image, mask)
  ]
  chosen = conv_ops.by_platform
  conv_ops.by_platform = lambda cpu, default, *arrays: default(*arrays)
  try:
    params = jax.eval_shape(network.init, jax.random.key(0), *single)["params"]

    def forward(params, image, mask):
      return network.apply({"params": params}, image, mask)

    def loss(params, image, real, mask):
      harmonized = blend(forward(params, image, mask), image, mask)
      return foreground_loss(harmonized, real, mask, 100).mean()

    return {
      "parameters": sum(math.prod(x.shape) for x in jax.tree.leaves(params)),
      "forward": operations(forward, params, *single),
      "step": operations(jax.grad(loss), params, image, image, mask),
    }
  finally:
    conv_ops.by_platform = chosen


def operations(function, *args) -> int:
  """Of the convolutions and matrix products that `function` is traced to."""
  return _operations(jax.make_jaxpr(function)(*args).jaxpr)


def _operations(jaxpr) -> int:
  total = 0
  for equation in jaxpr.eqns:
    name, parameters = equation.primitive.name, equation.params
    out = equation.outvars[0].aval.shape if equation.outvars else ()
    if name == "conv_general_dilated":
      kernel = equation.invars[1].aval.shape
      layout = parameters["dimension_numbers"].rhs_spec
      taps = math.prod(kernel) // kernel[layout[0]]
      zeros = math.prod(parameters["lhs_dilation"])
      total += 2 * math.prod(out) * taps // zeros
    elif name == "dot_general":
      (contracted, _), _ = parameters["dimension_numbers"]
      shape = equation.invars[0].aval.shape
      total += 2 * math.prod(out) * math.prod(shape[i] for i in contracted)
    elif name != "while":
      inner = sum(
        map(_operations, jax.extend.core.jaxprs_in_params(parameters))
      )
      total += inner * parameters.get("length", 1)
  return total


if __name__ == "__main__":
  main()
