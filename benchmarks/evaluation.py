"""Times an evaluation against the forward passes in it.

    python benchmarks/evaluation.py --size 256 --width 8
    python benchmarks/evaluation.py --root DIR --source folder

The evaluation is `Evaluator.rows` with the protocol `standard`: files are
decoded, and metrics computed and read back. Beside it stands the compiled
network with its blend alone, over the same batches, which are on the device
already. Prints the seconds of both, medians of passes that take turns, and
their ratio.

Without --root, the examples are photos that come with scikit-image, as encoded
files in memory. Composites are given, not made: a data set has them. Weights
are random: the time does not depend on their values.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import programs
from PIL import Image

from hdnet_jax import devices
from hdnet_jax.config import Config, DataConfig, ModelConfig
from hdnet_jax.data.examples import Example, Source, read_image, read_mask
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.data.pipeline import ReadOptions, evaluation_batches, open_source
from hdnet_jax.evaluation.evaluator import Evaluator, network
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.model.pixels import normalize


class EncodedPhotos:
  """Embedded photos with half as bright an object: JPEG and PNG in memory."""

  def __init__(self, count: int, size: int):
    photos = EmbeddedPhotos("test", size)
    self._size, self._files = size, []
    for place in range(count):
      # Evenly over all of them; some twice where they are too few.
      example = photos[place * len(photos) // count]
      real, mask = example["real"], example["mask"]
      composite = np.where(mask, real // 2, real)
      self._files.append(
        {
          "composite": encode(composite, "JPEG"),
          "real": encode(real, "JPEG"),
          "mask": encode(255 * mask[..., 0], "PNG"),
        }
      )

  def __len__(self) -> int:
    return len(self._files)

  def __getitem__(self, index: int) -> Example:
    files = {
      name: io.BytesIO(data) for name, data in self._files[index].items()
    }
    return {
      "composite": read_image(files["composite"], self._size),
      "real": read_image(files["real"], self._size),
      "mask": read_mask(files["mask"], self._size),
      "index": np.int32(index),
    }

  def name(self, index: int) -> str:
    return f"photo {index}"

  def subset(self, index: int) -> str:
    return "photos"


class First:
  """The first `count` examples of a source."""

  def __init__(self, source: Source, count: int):
    self._source, self._count = source, min(count, len(source))
    self.name, self.subset = source.name, source.subset

  def __len__(self) -> int:
    return self._count

  def __getitem__(self, index: int) -> Example:
    return self._source[index]


def encode(pixels: np.ndarray, format: str) -> bytes:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format)
  return file.getvalue()


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=256, help="of the images")
  parser.add_argument("--width", type=int, default=8, help="n of the network")
  parser.add_argument("--batch", type=int, default=16)
  parser.add_argument("--count", type=int, default=64, help="of examples")
  parser.add_argument("--passes", type=int, default=5, help="over them, each")
  parser.add_argument("--root", help="folder of the data (default: embedded)")
  parser.add_argument(
    "--source",
    default="folder",
    choices=("folder", "iharmony4"),
    help="what --root holds: published, or prepared (default: folder)",
  )
  args = parser.parse_args()
  config = Config(
    eval_batch_size=args.batch,
    model=ModelConfig(width=args.width),
    data=DataConfig(
      source=args.source, root=args.root or "", image_size=args.size
    ),
  )
  if args.root:
    source = First(open_source(config.data, "test"), args.count)
  else:
    source = EncodedPhotos(args.count, args.size)
  times = measure(config, source, args.passes)
  evaluation, forward = (statistics.median(seconds) for seconds in times)
  print(
    f"{len(jax.devices())} x {jax.devices()[0].device_kind}, jax "
    f"{jax.__version__}: {len(source)} images of {args.size}x{args.size}, "
    f"n={args.width}, batch {args.batch}, {args.passes} passes"
  )
  for name, seconds in (("evaluation", evaluation), ("forward", forward)):
    print(f"{name:10s} {seconds:.3f} s, {len(source) / seconds:.1f} images/s")
  print(f"ratio      {evaluation / forward:.2f}")


def measure(
  config: Config, source: Source, passes: int
) -> tuple[list[float], list[float]]:
  """Seconds of each evaluation, and of each pass of the network alone."""
  mesh = devices.make_mesh(config.mesh)
  devices.check_divides("batch", config.eval_batch_size, mesh)
  model = HDNet(width=config.model.width)
  params = jax.device_put(
    programs.random_params(config.model), devices.replicated(mesh)
  )
  evaluator = Evaluator(config, network(config.model), mesh)

  @programs.jit
  def harmonize(params, image, mask):
    return blend(model.apply({"params": params}, image, mask), image, mask)

  inputs = [
    (normalize(batch["composite"]), batch["mask"].astype(jnp.float32))
    for batch in devices.prefetch_to_device(
      evaluation_batches(
        source,
        np.arange(len(source)),
        config.eval_batch_size,
        ReadOptions(config.data.threads),
      ),
      mesh,
    )
  ]

  def evaluate() -> None:
    evaluator.rows(params, source)

  def forward() -> None:
    jax.block_until_ready(
      [harmonize(params, image, mask) for image, mask in inputs]
    )

  both = (evaluate, forward)
  for function in both:
    function()  # compiles
  times = ([], [])
  for _ in range(passes):
    for function, seconds in zip(both, times, strict=True):
      seconds.append(seconds_of(function))
  return times


def seconds_of(function: Callable[[], None]) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


if __name__ == "__main__":
  main()
