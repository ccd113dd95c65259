"""Times the input pipeline alone, and a training step's wait for it.

    python benchmarks/input_pipeline.py --root DIR
    python benchmarks/input_pipeline.py --root DIR --storage
    python benchmarks/input_pipeline.py --root DIR --train --width 8

DIR holds iHarmony4, prepared by `hdnet prepare iharmony4` (or published, with
--source folder). Rows are passes over --images triplets, which take turns:
decoding in one thread, and whole batches (shuffled, read, decoded, stacked) by
number of threads and workers. Every pass has readers of its own, which have
started before it is timed. "resident" is the process without its workers, the
most after a pass.

--train adds a training that reads as training does. Its "wait" is the share of
the time in which the step waits for its batch. --storage compares ways to store
the same triplets instead.
"""

import argparse
import functools
import io
import itertools
import sys
import time
from collections.abc import Callable

import common
import numpy as np
from absl import flags
from PIL import Image

from hdnet_jax.config import Config, DataConfig, ModelConfig
from hdnet_jax.data.examples import Source
from hdnet_jax.data.pipeline import ReadOptions, open_source, training_batches
from hdnet_jax.errors import UserError

READERS = ((1, 0), (2, 0), (4, 0), (2, 1), (1, 2))  # threads, workers
PARTS = ("composite", "real", "mask")
WAYS = {
  "raw": None,
  "PNG": {"format": "PNG"},
  "WebP, lossless": {
    "format": "WEBP",
    "lossless": True,
    "quality": 0,
    "method": 0,
  },
}


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("--root", required=True, help="folder of the data")
  parser.add_argument(
    "--source",
    default="iharmony4",
    choices=("iharmony4", "folder"),
    help="prepared, or as published",
  )
  parser.add_argument("--size", type=int, default=256, help="of the images")
  parser.add_argument("--batch", type=int, default=12)
  parser.add_argument("--images", type=int, default=1200, help="of a pass")
  parser.add_argument("--passes", type=int, default=5, help="of each row")
  parser.add_argument("--storage", action="store_true", help="ways to store")
  parser.add_argument(
    "--train", action="store_true", help="and the step's wait"
  )
  parser.add_argument("--width", type=int, default=8, help="of what is trained")
  parser.add_argument("--steps", type=int, default=20, help="of the training")
  common.add_common_flags(parser, official=False)
  args = parser.parse_args()
  flags.FLAGS(sys.argv[:1])  # Grain's workers want them parsed
  machine = common.begin(parser, args)
  data = DataConfig(source=args.source, root=args.root, image_size=args.size)
  try:
    source = open_source(data, "train")
  except UserError as error:
    sys.exit(str(error))
  print(f"{len(source)} triplets of {args.size}x{args.size}")
  if args.storage:
    results = compare_storage(source, args.passes)
    print_storage(results)
  else:
    results = time_reading(args, source)
    if args.train:
      results.append(time_training(args, data))
    print_table(results)
  common.write_json(
    args.json, machine, args, results, triplets_of_the_source=len(source)
  )


def time_reading(args: argparse.Namespace, source: Source) -> list[dict]:
  count = max(args.images // args.batch, 1)  # batches
  rows: dict[str, Callable[[], float]] = {
    "decoding, 1 thread": functools.partial(decode, source, count * args.batch)
  }
  for threads, workers in READERS:
    name = f"batches, {threads} threads, {workers} workers"
    reader = ReadOptions(threads=threads, workers=workers)
    rows[name] = functools.partial(
      read_batches, source, args.batch, reader, count
    )
  seconds: dict[str, list[float]] = {name: [] for name in rows}
  memory = dict.fromkeys(rows, 0)
  decode(source, count * args.batch)  # fills the system's cache of files
  for _ in range(args.passes):
    for name, run in rows.items():
      seconds[name].append(run())
      memory[name] = max(memory[name], common.resident())
  return [
    {
      "row": name,
      "triplets": count * args.batch,
      "resident": memory[name],
      **common.summary(found),
    }
    for name, found in seconds.items()
  ]


def decode(source: Source, count: int) -> float:
  """Seconds for `count` examples, one after the other."""
  start = time.perf_counter()
  for index in range(count):
    source[index % len(source)]
  return time.perf_counter() - start


def read_batches(
  source: Source, batch: int, reader: ReadOptions, count: int
) -> float:
  """Seconds for `count` batches after the first, when workers have started."""
  batches = training_batches(source, batch, 0, reader)
  next(batches)
  start = time.perf_counter()
  for _ in itertools.islice(batches, count):
    pass
  return time.perf_counter() - start


def time_training(args: argparse.Namespace, data: DataConfig) -> dict:
  """Seconds of steps, and the share in which the next batch is not there."""
  import jax
  import train_step

  from hdnet_jax.devices import prefetch_to_device

  config = Config(
    batch_size=args.batch, model=ModelConfig(args.width), data=data
  )
  trainer = train_step.Trainer(config)
  batches = prefetch_to_device(trainer.batches(), trainer.mesh)
  trainer.step(next(batches))  # compiles
  seconds, waits = [], []
  for _ in range(args.steps):
    start = time.perf_counter()
    batch = next(batches)
    waits.append(time.perf_counter() - start)
    trainer.step(batch)
    seconds.append(time.perf_counter() - start)
  devices = jax.devices()
  return {
    "row": (
      f"training, n={args.width}, {len(devices)} x {devices[0].device_kind}"
    ),
    "triplets": args.batch,
    "wait": sum(waits) / sum(seconds),
    "resident": common.resident(),
    **common.summary(seconds),
  }


def print_table(results: list[dict]) -> None:
  rows = []
  for row in results:
    speeds = [row["triplets"] / seconds for seconds in row["seconds"]]
    rows.append(
      (
        row["row"],
        common.short(common.quantile(speeds, 0.5)),
        common.spread(speeds),
        f"{row['wait']:.1%}" if "wait" in row else "",
        common.gigabytes(row["resident"]),
      )
    )
  common.print_table(
    ("row", "triplets/s", "10 % to 90 %", "wait", "resident"), rows
  )


def compare_storage(source: Source, passes: int) -> list[dict]:
  """Size, and time to read, of the same pictures in several formats."""
  examples = [source[i] for i in range(min(len(source), 200))]
  shapes = [examples[0][part].shape for part in PARTS]
  stored = {
    name: [
      [store(example[part], settings) for part in PARTS] for example in examples
    ]
    for name, settings in WAYS.items()
  }

  def read_all(name: str) -> None:
    for triplet in stored[name]:
      for data, shape in zip(triplet, shapes, strict=True):
        load(data, shape, WAYS[name])

  seconds = common.interleave(
    {name: functools.partial(read_all, name) for name in WAYS}, passes
  )
  return [
    {
      "row": name,
      "triplets": len(examples),
      "bytes": float(
        np.mean([sum(map(len, example)) for example in stored[name]])
      ),
      **common.summary(found),
    }
    for name, found in seconds.items()
  ]


def store(array: np.ndarray, settings: dict | None) -> bytes:
  if settings is None:
    return array.tobytes()
  file = io.BytesIO()
  if array.shape[-1] == 1:  # masks are PNG of one bit in every way but raw
    image = Image.fromarray(255 * array[..., 0])
    image.convert("1", dither=Image.Dither.NONE).save(file, "PNG")
  else:
    Image.fromarray(array).save(file, **settings)
  return file.getvalue()


def load(data: bytes, shape: tuple, settings: dict | None) -> np.ndarray:
  if settings is None:
    return np.frombuffer(data, np.uint8).reshape(shape).copy()
  return np.asarray(Image.open(io.BytesIO(data)))


def print_storage(results: list[dict]) -> None:
  rows = []
  for row in results:
    speeds = [row["triplets"] / seconds for seconds in row["seconds"]]
    rows.append(
      (
        row["row"],
        f"{row['bytes'] / 1e3:.0f} KB",
        common.short(common.quantile(speeds, 0.5)),
        common.spread(speeds),
      )
    )
  common.print_table(
    ("way", "a triplet", "triplets/s, 1 thread", "10 % to 90 %"), rows
  )


if __name__ == "__main__":
  main()
