"""Times the training step alone, and with the input pipeline, on this machine.

    python benchmarks/train_step.py --size 128 --batch 12 --width 8

Uses the embedded photos. Prints seconds a step and images a second: the median
of the steps, after one that compiles.
"""

import argparse
import statistics
import time

import jax

from hdnet_jax import sharding
from hdnet_jax.config import Config, DataConfig, ModelConfig
from hdnet_jax.data.pipeline import Reader, open_source, training_batches
from hdnet_jax.training.state import initial_state, make_optimizer
from hdnet_jax.training.step import make_train_step


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=128)
  parser.add_argument("--batch", type=int, default=12)
  parser.add_argument("--width", type=int, default=8)
  parser.add_argument("--steps", type=int, default=10)
  parser.add_argument("--dtype", default="float32")
  args = parser.parse_args()
  config = Config(
    batch_size=args.batch,
    model=ModelConfig(width=args.width, dtype=args.dtype),
    data=DataConfig(image_size=args.size),
  )
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_divides("batch_size", args.batch, mesh)
  optimizer = make_optimizer(config.optimizer, steps_per_epoch=1e6)
  step = make_train_step(config, optimizer, mesh)
  state = jax.device_put(
    initial_state(config, optimizer), sharding.replicated(mesh)
  )
  source = open_source(config.data, "train")
  batches = training_batches(source, args.batch, 0, Reader(config.data.threads))
  batch = sharding.put(next(batches), mesh)
  start = time.perf_counter()
  state, _ = jax.block_until_ready(step(state, batch))
  print(
    f"{len(jax.devices())} x {jax.devices()[0].device_kind}, jax "
    f"{jax.__version__}, {args.dtype}; first step "
    f"{time.perf_counter() - start:.1f} s"
  )
  for name in ("same batch", "new batches"):
    times = []
    for _ in range(args.steps):
      start = time.perf_counter()
      if name == "new batches":
        batch = sharding.put(next(batches), mesh)
      state, _ = jax.block_until_ready(step(state, batch))
      times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    print(
      f"n={args.width} {args.size}x{args.size} batch {args.batch}, {name}: "
      f"{seconds:.3f} s a step, {args.batch / seconds:.1f} images/s"
    )


if __name__ == "__main__":
  main()
