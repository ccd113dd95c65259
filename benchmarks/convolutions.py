"""Times the network's convolutions on the CPU, in both forms.

    python benchmarks/convolutions.py
    python benchmarks/convolutions.py --size 128 --batch 4

The layers are HDNet-lite's. Prints milliseconds of the forward pass and of the
gradients with respect to input and kernel, the median of the runs; those of
both forms take turns.
"""

import argparse
import pathlib

import common
import jax
import jax.numpy as jnp
import numpy as np
import programs

from hdnet_jax.model import conv_ops

FORMS = ("plain", "cpu")
# Layer, function, image size over the input's, channels in and out, kernel.
LAYERS = (
  ("x0", "conv3x3", 1, 3, 8, 3),
  ("x1", "down_conv4x4", 1, 8, 16, 4),
  ("x2", "conv3x3", 2, 16, 32, 3),
  ("x3", "down_conv4x4", 2, 32, 64, 4),
  ("x4", "conv3x3", 4, 64, 64, 3),
  ("y4", "up_conv4x4", 8, 128, 64, 4),
  ("y3", "conv3x3", 4, 128, 64, 3),
  ("y2", "up_conv4x4", 4, 128, 32, 4),
  ("y1", "conv3x3", 2, 64, 16, 3),
  ("y0", "up_conv4x4", 2, 32, 8, 4),
  ("out", "conv3x3", 1, 16, 3, 3),
)
PARTS = ("forward", "dx", "dkernel")


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--size", type=int, default=256, help="of the images")
  parser.add_argument("--batch", type=int, default=12)
  parser.add_argument("--runs", type=int, default=5)
  parser.add_argument("--threads", type=int, help="to run on (default: all)")
  parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")
  parser.set_defaults(official=None)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  jax.config.update("jax_platforms", "cpu")
  results = [row for layer in LAYERS for row in measure(args, *layer)]
  common.print_table(
    ("layer", "input", "form", *(f"{part}, ms" for part in PARTS)),
    [
      (
        row["layer"],
        row["input"],
        row["form"],
        *(common.short(1e3 * row[part]["median"]) for part in PARTS),
      )
      for row in results
    ],
  )
  common.write_json(args.json, machine, args, results)


def measure(
  args, layer: str, name: str, scale: int, inputs: int, outputs: int, size: int
) -> list[dict]:
  rng = np.random.default_rng(0)
  side = args.size // scale

  def draw(*shape):
    return jnp.asarray(rng.normal(size=shape).astype(np.float32))

  x = draw(args.batch, side, side, inputs)
  kernel = draw(size, size, inputs, outputs)
  functions = {}
  for form in FORMS:
    function = getattr(conv_ops, f"{form}_{name}")
    dy = draw(*jax.eval_shape(function, x, kernel).shape)

    def pull(x, kernel, dy, which, function=function):
      return jax.vjp(function, x, kernel)[1](dy)[which]

    pull = programs.jit(pull, static_argnums=3)
    forward = programs.jit(function)
    for part, call in (
      ("forward", lambda f=forward: f(x, kernel)),
      ("dx", lambda f=pull, dy=dy: f(x, kernel, dy, 0)),
      ("dkernel", lambda f=pull, dy=dy: f(x, kernel, dy, 1)),
    ):
      functions[form, part] = lambda call=call: jax.block_until_ready(call())
  seconds = common.interleave(functions, args.runs)
  return [
    {
      "layer": layer,
      "input": f"{side}x{side}x{inputs}",
      "form": form,
      **{part: common.summary(seconds[form, part]) for part in PARTS},
    }
    for form in FORMS
  ]


if __name__ == "__main__":
  main()
