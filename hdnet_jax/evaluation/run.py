"""Evaluates parameters on a split, and writes what came out."""

import csv
import dataclasses
import io
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from PIL import Image
from rich.console import Console

from hdnet_jax.config import Config
from hdnet_jax.data.pipeline import Reader, evaluation_batches
from hdnet_jax.data.records import Source
from hdnet_jax.evaluation import protocols, tables, visuals
from hdnet_jax.files import write_text, write_then_rename
from hdnet_jax.images import normalize
from hdnet_jax.model.hdnet import HDNet, blend
from hdnet_jax.recolor import make_composites
from hdnet_jax.sharding import gather, put_ahead, replicated, split

PICTURES = 6  # rows of the grid

EvalStep = Callable[[dict, dict[str, jax.Array]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """One row an image, in the source's order, and examples to look at."""

  rows: list[tables.Row]
  comparisons: list[visuals.Comparison]

  def summary(self) -> dict[str, float]:
    """The harmonized images' means by metric name.

    The PSNR is infinite only where every image equals its truth.
    """
    means = tables.summarize(self.rows)["harmonized"]
    return {
      name: math.inf if means[name] is None else means[name]
      for name in protocols.NAMES
    }

  def grid(self) -> Image.Image:
    return visuals.grid(self.comparisons)


def make_eval_step(config: Config, model: HDNet, mesh: Mesh) -> EvalStep:
  """The jitted `(params, batch) -> images and values`, one compilation.

  Photos get the same composite whatever the batch they are in: its random key
  is folded from the config's seed and the example's index.
  """

  def eval_step(params, batch):
    composite = _composites(batch, config.seed, config.data.recolor_strength)
    image = normalize(composite)
    mask = batch["mask"].astype(jnp.float32)
    output = model.apply({"params": params}, image, mask)
    harmonized = blend(output, image, mask)
    values, pixels = protocols.standard(
      harmonized, composite, batch["real"], batch["mask"]
    )
    pictures = {
      "composite": composite,
      "mask": batch["mask"],
      "harmonized": pixels,
      "real": batch["real"],
    }
    return {"values": values, "pictures": pictures}

  return jax.jit(
    eval_step,
    in_shardings=(replicated(mesh), None),  # batches are as `put` split them
    # Every process reads all values; pictures stay where they are.
    out_shardings={"values": replicated(mesh), "pictures": split(mesh, 4)},
  )


def _composites(batch, seed: int, strength: float) -> jax.Array:
  if "composite" in batch:
    return batch["composite"]
  key = jax.random.key(seed)
  keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch["index"])
  return make_composites(
    keys,
    batch["real"],
    batch["mask"],
    batch["donor_real"],
    batch["donor_mask"],
    strength,
  )


def evaluate(
  config: Config,
  eval_step: EvalStep,
  params: dict,
  source: Source,
  mesh: Mesh,
  on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
  """Runs `eval_step` over the whole source.

  The next batch is computed while the last one's values are read.

  Args:
    on_batch: called with images done and images in all.
  """
  count = len(source)
  wanted = set(np.linspace(0, count - 1, min(count, PICTURES)).astype(int))
  rows, comparisons = [], []

  def read(outputs) -> None:
    """The values of the next batch, without the padding of the last one."""
    values = jax.device_get(outputs["values"])
    first = len(rows)
    indices = range(first, min(first + config.eval_batch_size, count))
    for place, index in enumerate(indices):
      row = {"name": source.name(index), "subset": source.subset(index)}
      row |= {name: float(column[place]) for name, column in values.items()}
      rows.append(row)
    chosen = [index for index in indices if index in wanted]
    if chosen:
      pictures = jax.tree.map(gather, outputs["pictures"])
    for index in chosen:
      images = {name: image[index - first] for name, image in pictures.items()}
      comparisons.append(
        visuals.Comparison(
          name=rows[index]["name"],
          composite_psnr=rows[index]["composite_psnr"],
          harmonized_psnr=rows[index]["harmonized_psnr"],
          **images,
        )
      )
    on_batch(len(rows), count)

  batches = evaluation_batches(
    source,
    config.eval_batch_size,
    Reader(
      config.data.threads,
      config.data.workers,
      jax.process_index(),
      jax.process_count(),
    ),
  )
  pending = None
  for batch in put_ahead(batches, mesh):
    outputs = eval_step(params, batch)
    if pending is not None:
      read(pending)
    pending = outputs
  read(pending)
  return Evaluation(rows, comparisons)


def write(
  evaluation: Evaluation, directory: pathlib.Path, **facts: Any
) -> dict[str, Any]:
  """Writes metrics.json, per_image.csv and grid.png; returns the report.

  Args:
    facts: what the report says besides numbers: split, step and so on.
  """
  report = tables.report_of(evaluation.rows, protocol="standard", **facts)
  write_text(directory / "metrics.json", json.dumps(report, indent=2) + "\n")
  text = io.StringIO()
  writer = csv.DictWriter(
    text, fieldnames=list(evaluation.rows[0]), lineterminator="\n"
  )
  writer.writeheader()
  writer.writerows(evaluation.rows)
  write_text(directory / "per_image.csv", text.getvalue())
  write_then_rename(directory / "grid.png", evaluation.grid().save)
  return report


def show(directory: pathlib.Path) -> None:
  """Prints the table of an evaluation's folder, and where its files are."""
  report = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
  console = Console()
  console.print(tables.table_of(report))
  for name, file in (
    ("pictures", "grid.png"),
    ("numbers", "metrics.json"),
    ("each image", "per_image.csv"),
  ):
    print(f"{name:11s} {directory / file}")
