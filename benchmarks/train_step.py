"""Times the training step alone, and with the input pipeline, on this machine.

    python benchmarks/train_step.py --size 128 --batch 12 --width 8
    python benchmarks/train_step.py --official HDNet --form official

Uses the embedded photos. Rows, whose steps take turns:

    composites given   the same batch again and again, with its composites
    composites made    the same photos, recoloured in the step as for the
                       released weights; objects are moved by the pipeline
    new batches        composites made, and the wait for the input pipeline
    authors' PyTorch   with --official: their step on the batch of the first row

Prints seconds a step and images a second, the median of the steps. The first
step is apart: it compiles, but for that of the new batches, whose program the
row before it has compiled. A step is forward pass, loss, gradients and Adam.
What the pipeline reads in the turns of the other rows is not waited for:
input_pipeline.py --train measures the wait of a training that runs alone.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import common
import environment
import jax
import numpy as np

from hdnet_jax.config import RELEASE, Config, DataConfig, ModelConfig
from hdnet_jax.data.pipeline import ReadOptions, open_source, training_batches
from hdnet_jax.devices import check_divides, make_mesh, put
from hdnet_jax.model.pixels import normalize
from hdnet_jax.training.state import make_optimizer, make_start
from hdnet_jax.training.step import make_train_step, with_composites

OFFICIAL = "authors' PyTorch"
# Seconds before a step, so that threads of the one before have gone to sleep.
PAUSE = 0.5


class Trainer:
  """Our step, with a state that it carries on."""

  def __init__(
    self, config: Config, devices: Sequence[jax.Device] | None = None
  ):
    self.config = config
    self.mesh = make_mesh(config.mesh, devices)
    check_divides("batch_size", config.batch_size, self.mesh)
    optimizer = make_optimizer(config.optimizer, steps_per_epoch=1e6)
    self._step = make_train_step(config, optimizer, self.mesh)
    self.state = make_start(config, optimizer, self.mesh)()

  def step(self, batch: dict[str, jax.Array]) -> None:
    self.state, _ = jax.block_until_ready(self._step(self.state, batch))

  def compile(self, batch: dict[str, jax.Array]) -> jax.stages.Compiled:
    return self._step.lower(self.state, batch).compile()

  def batches(self):
    data = self.config.data
    return training_batches(
      open_source(data, "train"),
      self.config.batch_size,
      0,
      ReadOptions(data.threads),
      composites=data.composites if data.makes_composites else None,
    )


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--size", type=int, default=256)
  parser.add_argument("--batch", type=int, default=12)
  parser.add_argument("--width", type=int, default=8)
  parser.add_argument("--steps", type=int, default=10)
  parser.add_argument("--dtype", default="float32")
  parser.add_argument("--remat", action="store_true", help="less memory")
  common.add_form_flag(parser)
  common.add_common_flags(parser)
  args = parser.parse_args()
  machine = common.begin(parser, args)
  # A program that is read from the cache has not been compiled.
  jax.config.update("jax_enable_compilation_cache", False)
  devices = jax.devices()
  machine["devices"] = f"{len(devices)} x {devices[0].device_kind}"
  print(f"{machine['devices']} of JAX")
  results = measure(args)
  print_table(args, results)
  common.write_json(args.json, machine, args, results)


def measure(args: argparse.Namespace) -> list[dict]:
  model = ModelConfig(args.width, args.form, dtype=args.dtype, remat=args.remat)
  data = DataConfig(image_size=args.size, composites=RELEASE)
  trainer = Trainer(Config(batch_size=args.batch, model=model, data=data))
  batches = trainer.batches()
  photos = next(batches)
  keys = jax.random.split(jax.random.key(0), args.batch)
  compose = jax.jit(
    lambda batch, keys: with_composites(batch, keys, data.composites)
  )
  given = jax.device_get(compose(photos, keys))
  steps = our_steps(trainer, batches, photos, given)
  if args.official:
    steps[OFFICIAL] = official_step(args, given)
  first = {}
  for name, step in steps.items():
    start = time.perf_counter()
    step()
    first[name] = time.perf_counter() - start
  # The first step was for warming up.
  seconds = common.interleave(steps, args.steps, warm=0, pause=PAUSE)
  return [
    {"row": name, "first_step": first[name], **common.summary(runs)}
    for name, runs in seconds.items()
  ]


def our_steps(trainer, batches, photos, given) -> dict[str, Callable]:
  mesh = trainer.mesh
  given, photos = (put(batch, mesh) for batch in (given, photos))
  return {
    "composites given": lambda: trainer.step(given),
    "composites made": lambda: trainer.step(photos),
    "new batches": lambda: trainer.step(put(next(batches), mesh)),
  }


def official_step(args: argparse.Namespace, batch: dict) -> Callable:
  import official

  model = official.load_model(
    args.official, args.width, environment.usable_threads()
  )
  composite, real = (
    np.asarray(normalize(batch[name])) for name in ("composite", "real")
  )
  mask = np.asarray(batch["mask"], np.float32)
  return official.make_step(model, composite, real, mask)


def print_table(args: argparse.Namespace, results: list[dict]) -> None:
  print(
    f"n={args.width}, {args.size}x{args.size}, batch {args.batch}, "
    f"{args.dtype}, form {args.form}{', remat' if args.remat else ''}, "
    f"{args.steps} steps"
  )
  common.print_table(
    ("row", "first step", "median", "10 % to 90 %", "images/s"),
    [
      (
        row["row"],
        f"{row['first_step']:.1f} s",
        f"{common.short(row['median'])} s",
        f"{common.spread(row['seconds'])} s",
        common.short(args.batch / row["median"]),
      )
      for row in results
    ],
  )


if __name__ == "__main__":
  main()
