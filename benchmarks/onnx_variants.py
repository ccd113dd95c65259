"""Size, latency and exactness of the ONNX files that `hdnet export` writes.

    python benchmarks/onnx_variants.py --weights hdnet-lite
    python benchmarks/onnx_variants.py --width 8 --size 512 --dynamic

A file for each --dtype of `hdnet export` runs in ONNX Runtime on the CPU, an
image at a time. PSNR is that of its images, not rounded, to those of the
float32 file, over photos of scikit-image as composites: their segments are the
masks. "levels" is the largest difference of any pixel, of 255. Without
--weights both are of random weights and say little; sizes and times do not
depend on it. The runs of the files take turns, so that what else the machine
does is shared by all. Loading is apart: it is there that float16 and int8
become float32.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import time

import numpy as np
import onnxruntime
import programs
from environment import cpu_name

from hdnet_jax import weights
from hdnet_jax.config import ModelConfig
from hdnet_jax.data.photos import EmbeddedPhotos
from hdnet_jax.onnx.network import build

STORAGES = ("float32", "float16", "int8")


@dataclasses.dataclass
class Result:
  """What was measured of a file."""

  storage: str
  size_bytes: int
  load_seconds: float
  seconds: list[float]  # each run's
  psnr: float  # to float32, in dB
  levels: float

  def quantile(self, share: float) -> float:
    return float(np.quantile(self.seconds, share))


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--weights", help="(default: random)")
  parser.add_argument("--width", type=int, default=8, help="of random weights")
  parser.add_argument("--size", type=int, default=256, help="of the images")
  parser.add_argument(
    "--dynamic", action="store_true", help="files for every size, not for one"
  )
  parser.add_argument("--runs", type=int, default=30, help="of each file")
  parser.add_argument("--photos", type=int, default=8, help="for the PSNR")
  parser.add_argument("--threads", type=int, help="to run on (default: all)")
  parser.add_argument("--json", type=pathlib.Path, help="file for the numbers")
  args = parser.parse_args()
  if args.weights:
    params, model, _ = weights.load(args.weights)
  else:
    model = ModelConfig(width=args.width)
    params = programs.random_params(model)
  machine = {
    "CPU": cpu_name(),
    "threads": args.threads or os.cpu_count(),
    "onnxruntime": onnxruntime.__version__,
    "date": datetime.date.today().isoformat(),
    "width": model.width,
    "size": args.size,
    "weights": pathlib.Path(args.weights).name if args.weights else "random",
  }
  print("  ".join(f"{name} {value}" for name, value in machine.items()))
  results = measure(params, model, args)
  print_table(results)
  if args.json:
    values = machine | {"results": [dataclasses.asdict(r) for r in results]}
    args.json.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def measure(
  params: dict, model: ModelConfig, args: argparse.Namespace
) -> list[Result]:
  inputs = make_inputs(args.size, args.photos)
  size = None if args.dynamic else (args.size, args.size)
  sessions, results = [], []
  exact: list[np.ndarray] = []
  for storage in STORAGES:
    data = build(params, model, size, storage=storage)
    start = time.perf_counter()
    session = make_session(data, args.threads)
    load_seconds = time.perf_counter() - start
    images = [session.run(None, feed)[0] for feed in inputs]
    exact = exact or images
    off = np.abs(np.stack(images) - np.stack(exact)) * 127.5
    with np.errstate(divide="ignore"):
      psnr = 10 * np.log10(255**2 / np.mean(off.astype(np.float64) ** 2))
    sessions.append(session)
    results.append(
      Result(
        storage, len(data), load_seconds, [], float(psnr), float(off.max())
      )
    )
  for _ in range(args.runs):
    for session, result in zip(sessions, results, strict=True):
      start = time.perf_counter()
      session.run(None, inputs[0])
      result.seconds.append(time.perf_counter() - start)
  return results


def make_inputs(size: int, count: int) -> list[dict[str, np.ndarray]]:
  photos = EmbeddedPhotos("test", size)
  # Spread over the photos and their views.
  indices = np.linspace(0, len(photos) - 1, count).astype(int)
  return [
    {
      "composite": photos[i]["real"][None].astype(np.float32) / 127.5 - 1,
      "mask": photos[i]["mask"].reshape(1, size, size, 1).astype(np.float32),
    }
    for i in indices
  ]


def make_session(
  data: bytes, threads: int | None
) -> onnxruntime.InferenceSession:
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = threads or 0
  # Else its threads turn on while another session is timed.
  options.add_session_config_entry("session.intra_op.allow_spinning", "0")
  return onnxruntime.InferenceSession(
    data, options, providers=["CPUExecutionProvider"]
  )


def print_table(results: list[Result]) -> None:
  print(
    f"{'stored as':10s} {'size':>10s} {'load':>9s} {'median':>9s} "
    f"{'10 % to 90 %':>18s} {'PSNR':>10s} {'levels':>7s}"
  )
  for result in results:
    spread = f"{result.quantile(0.1):.4f} to {result.quantile(0.9):.4f}"
    print(
      f"{result.storage:10s} {result.size_bytes / 1e6:7.2f} MB "
      f"{result.load_seconds:7.2f} s {result.quantile(0.5):7.4f} s "
      f"{spread + ' s':>18s} {result.psnr:7.1f} dB {result.levels:7.2f}"
    )
  print(
    f"Seconds an image, {len(results[0].seconds)} runs. PSNR and levels: of "
    "the images to float32's."
  )


if __name__ == "__main__":
  main()
