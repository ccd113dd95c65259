"""Times the input pipeline alone, and a training step's wait for it.

    python benchmarks/input_pipeline.py --root DIR
    python benchmarks/input_pipeline.py --root DIR --storage
    python benchmarks/input_pipeline.py --root DIR --train --width 8

DIR holds iHarmony4, prepared by `hdnet prepare iharmony4` (or published, with
--source folder). Prints images/s of decoding in one thread, then of whole
batches by number of threads and workers, and the memory after each pass.
--storage compares ways to store the same triplets; --train adds the share of
a training run's time in which the step waits for its batch.
"""

import io
import itertools
import resource
import threading
import time

import numpy as np
from absl import app, flags
from PIL import Image

from hdnet_jax.config import Config, DataConfig, MeshConfig, ModelConfig
from hdnet_jax.data.pipeline import Reader, open_source, training_batches
from hdnet_jax.data.records import Source

ROOT = flags.DEFINE_string("root", None, "Folder of the data.", required=True)
SOURCE = flags.DEFINE_enum(
  "source", "iharmony4", ["iharmony4", "folder"], "Prepared, or published."
)
SIZE = flags.DEFINE_integer("size", 256, "Image size.")
BATCH = flags.DEFINE_integer("batch", 12, "Batch size.")
PASSES = flags.DEFINE_integer("passes", 3, "Passes over the training split.")
IMAGES = flags.DEFINE_integer("images", 1200, "Triplets a pass, at least.")
STORAGE = flags.DEFINE_bool("storage", False, "Compare ways to store.")
TRAIN = flags.DEFINE_bool("train", False, "Train, and time the wait.")
WIDTH = flags.DEFINE_integer("width", 8, "Of the network that trains.")
STEPS = flags.DEFINE_integer("steps", 20, "Training steps.")


def main(_) -> None:
  data = DataConfig(source=SOURCE.value, root=ROOT.value, image_size=SIZE.value)
  source = open_source(data, "train")
  print(f"{len(source)} triplets of {SIZE.value}x{SIZE.value}")
  if STORAGE.value:
    compare_storage(source)
    return
  time_decoding(source)
  for threads, workers in ((1, 0), (2, 0), (4, 0), (2, 1), (1, 2)):
    time_batches(source, Reader(threads=threads, workers=workers))
  if TRAIN.value:
    time_training(data, source)


def time_decoding(source: Source) -> None:
  count = min(len(source), 400)
  start = time.perf_counter()
  for index in range(count):
    source[index]
  print(f"decode, one thread: {count / (time.perf_counter() - start):.0f}/s")


def time_batches(source: Source, reader: Reader) -> None:
  """Whole batches: shuffled, read, decoded, stacked."""
  batches = training_batches(source, BATCH.value, 0, reader)
  next(batches)  # workers have started
  count = max(len(source), IMAGES.value) // BATCH.value
  speeds, memory = [], []
  for _ in range(PASSES.value):
    start = time.perf_counter()
    for _ in itertools.islice(batches, count):
      pass
    speeds.append(count * BATCH.value / (time.perf_counter() - start))
    memory.append(resident())
  print(
    f"batches of {BATCH.value}, {reader.threads} threads, {reader.workers} "
    f"workers: {np.median(speeds):.0f} triplets/s; resident after each pass "
    + ", ".join(f"{m:.0f}" for m in memory)
    + " MB"
  )


def resident() -> float:
  """MB of memory that this process holds now."""
  with open("/proc/self/statm", encoding="ascii") as file:
    pages = int(file.read().split()[1])
  return pages * resource.getpagesize() / 1e6


def compare_storage(source: Source) -> None:
  """Size, and time to read, of the same pictures in several formats."""
  examples = [source[i] for i in range(min(len(source), 200))]
  ways = {
    "raw": None,
    "PNG": {"format": "PNG"},
    "WebP, lossless": {
      "format": "WEBP",
      "lossless": True,
      "quality": 0,
      "method": 0,
    },
  }
  for name, settings in ways.items():
    stored = [
      [store(example[part], settings) for part in ("composite", "real", "mask")]
      for example in examples
    ]
    size = np.mean([sum(map(len, triplet)) for triplet in stored])
    start = time.perf_counter()
    for triplet in stored:
      for place, part in enumerate(triplet):
        load(part, examples[0][("composite", "real", "mask")[place]], settings)
    one = len(stored) / (time.perf_counter() - start)
    print(f"{name:15s} {size / 1e3:6.0f} KB, one thread {one:5.0f} triplets/s")


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


def load(data: bytes, like: np.ndarray, settings: dict | None) -> np.ndarray:
  if settings is None:
    return np.frombuffer(data, np.uint8).reshape(like.shape).copy()
  return np.asarray(Image.open(io.BytesIO(data)))


def time_training(data: DataConfig, source: Source) -> None:
  """The share of a run's time in which the next batch is not there yet."""
  import jax

  from hdnet_jax import sharding
  from hdnet_jax.training.state import initial_state, make_optimizer
  from hdnet_jax.training.step import make_train_step

  config = Config(
    batch_size=BATCH.value, model=ModelConfig(width=WIDTH.value), data=data
  )
  mesh = sharding.make_mesh(MeshConfig())
  optimizer = make_optimizer(config.optimizer, 1e6)
  step = make_train_step(config, optimizer, mesh)
  state = jax.device_put(
    initial_state(config, optimizer), sharding.replicated(mesh)
  )
  reader = Reader(threads=data.threads)
  batches = sharding.put_ahead(
    training_batches(source, BATCH.value, 0, reader), mesh
  )
  state, _ = jax.block_until_ready(step(state, next(batches)))  # compiles
  waited, start = 0.0, time.perf_counter()
  for _ in range(STEPS.value):
    before = time.perf_counter()
    batch = next(batches)
    waited += time.perf_counter() - before
    state, measures = step(state, batch)
    jax.block_until_ready(measures)
  total = time.perf_counter() - start
  print(
    f"training, n={WIDTH.value}, {len(jax.devices())} x "
    f"{jax.devices()[0].device_kind}: "
    f"{STEPS.value * BATCH.value / total:.1f} triplets/s, "
    f"{100 * waited / total:.1f} % of the time is the wait for a batch "
    f"({threading.active_count()} threads)"
  )


if __name__ == "__main__":
  app.run(main)
