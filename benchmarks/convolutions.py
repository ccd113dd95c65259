"""Times the forms of the transposed 4x4 convolution, forward and gradients.

    python benchmarks/convolutions.py

The sizes are those of HDNet-lite's decoder, batch 12 at 128x128. Prints
milliseconds, the least of five runs.
"""

import time

import jax
import jax.numpy as jnp

from hdnet_jax.model import convolution

FORMS = (convolution.double_by_dilation, convolution.double_by_depth_to_space)
SIZES = ((16, 128, 64), (32, 128, 32), (64, 32, 8))  # height, in, out


def milliseconds(function, *args, runs: int = 5) -> float:
  jax.block_until_ready(function(*args))
  times = []
  for _ in range(runs):
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    times.append(time.perf_counter() - start)
  return 1e3 * min(times)


def main():
  print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
  for size, inputs, outputs in SIZES:
    key_x, key_k = jax.random.split(jax.random.key(0))
    x = jax.random.normal(key_x, (12, size, size, inputs))
    kernel = jax.random.normal(key_k, (4, 4, inputs, outputs))
    for form in FORMS:

      def energy(x, kernel, form=form):
        return jnp.sum(jnp.square(form(x, kernel)))

      print(
        f"{size:4d}x{size:<4d} {inputs:4d} -> {outputs:<4d} "
        f"{form.__name__:26s}"
        f"forward {milliseconds(jax.jit(form), x, kernel):7.1f}  "
        f"dx {milliseconds(jax.jit(jax.grad(energy, 0)), x, kernel):7.1f}  "
        f"dkernel {milliseconds(jax.jit(jax.grad(energy, 1)), x, kernel):7.1f}"
      )


if __name__ == "__main__":
  main()
