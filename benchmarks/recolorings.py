"""Measures weights on photos by how their objects were recoloured.

    python benchmarks/recolorings.py --root DIR
    python benchmarks/recolorings.py --root DIR --weights mine.safetensors \\
        --recoloring distribution retouch --json numbers.json

The photos are the test split of a folder as `configs/photos.py` takes it, and
each is recoloured once by each family of `hdnet_jax.recolor`. The protocol is
`standard`, at the size that the network was trained at. Columns:

  composite, harmonized  PSNR in dB, mean of the images
  gain                   the mean of the differences, and its 95 % interval
  fMSE                   means of the composite and of the harmonized image
  better                 share of the images whose MSE falls
"""

import dataclasses
import pathlib

import jax
import numpy as np
from common import add_common_flags, begin, make_parser, print_table, write_json

from hdnet_jax import sharding, trained
from hdnet_jax.config import Config, DataConfig
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.evaluation import bootstrap, run
from hdnet_jax.recolor.composites import FAMILIES
from hdnet_jax.training.state import make_model

HEAD = ("recolouring", "composite", "harmonized", "gain", "fMSE", "better")


def main():
  parser = make_parser(__doc__)
  parser.add_argument("--root", required=True, help="folder of the photos")
  parser.add_argument(
    "--weights",
    type=pathlib.Path,
    default=pathlib.Path("hdnet-lite"),
    help="a released network, a file or a run's folder (default: hdnet-lite)",
  )
  parser.add_argument(
    "--recoloring",
    nargs="+",
    choices=FAMILIES,
    default=list(FAMILIES),
    metavar="FAMILY",
    help=f"of {', '.join(FAMILIES)} (default: all)",
  )
  parser.add_argument("--batch", type=int, default=16)
  add_common_flags(parser, official=False)
  args = parser.parse_args()
  machine = begin(parser, args)
  params, model, size = trained.find(args.weights)
  config = Config(
    eval_batch_size=args.batch,
    model=model,
    data=DataConfig(source="photos", root=args.root, image_size=size),
  )
  mesh = sharding.make_mesh(config.mesh)
  sharding.check_divides("batch", config.eval_batch_size, mesh)
  params = jax.device_put(params, sharding.replicated(mesh))
  source = open_source(config.data, "test")
  print(f"{len(source)} objects of the test photos, {size}x{size}", flush=True)
  results = []
  for name in args.recoloring:
    data = dataclasses.replace(config.data, recolorings=(name,))
    changed = dataclasses.replace(config, data=data)
    evaluator = run.Evaluator(changed, run.network(make_model(model)), mesh)
    results.append(
      {"recoloring": name, **summary(evaluator.rows(params, source))}
    )
    print(f"{name}: {cells(results[-1])[3]}", flush=True)
  print_table(HEAD, map(cells, results))
  write_json(args.json, machine, args, results)


def summary(rows: list[dict]) -> dict:
  column = {
    f"{kind}_{name}": np.array([row[f"{kind}_{name}"] for row in rows])
    for kind in ("composite", "harmonized")
    for name in ("psnr", "mse", "fmse")
  }
  gain = column["harmonized_psnr"] - column["composite_psnr"]
  means = {name: float(values.mean()) for name, values in column.items()}
  return means | {
    "gain": float(gain.mean()),
    "gain_interval": bootstrap.interval(gain),
    "better": float(
      np.mean(column["harmonized_mse"] < column["composite_mse"])
    ),
  }


def cells(result: dict) -> tuple[str, ...]:
  low, high = result["gain_interval"]
  return (
    result["recoloring"],
    f"{result['composite_psnr']:.2f}",
    f"{result['harmonized_psnr']:.2f}",
    f"{result['gain']:+.2f} [{low:.2f}, {high:.2f}]",
    f"{result['composite_fmse']:.0f} to {result['harmonized_fmse']:.0f}",
    f"{100 * result['better']:.0f} %",
  )


if __name__ == "__main__":
  main()
