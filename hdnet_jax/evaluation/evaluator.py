"""Runs a way to harmonize over a split: its numbers, image by image."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hdnet_jax.composites import with_composites
from hdnet_jax.config import CompositesConfig, Config
from hdnet_jax.data.examples import Source
from hdnet_jax.data.pipeline import ReadOptions, evaluation_batches
from hdnet_jax.devices import (
  compiler_options,
  gather,
  prefetch_to_device,
  replicated,
  split,
)
from hdnet_jax.distributed import compile_before_start
from hdnet_jax.evaluation import metrics, tables, visuals
from hdnet_jax.evaluation.protocols import PROTOCOLS, Harmonize
from hdnet_jax.model.hdnet import HDNet, blend

PICTURES = 6  # rows of a grid

Batch = dict[str, jax.Array]
# Of parameters and a batch, what harmonizes it.
Method = Callable[[Any, Batch], Harmonize]
EvalStep = Callable[[Any, Batch], dict[str, Any]]


def network(model: HDNet) -> Method:
  """HDNet with given parameters."""

  def method(params, batch):
    del batch
    return lambda image, mask: blend(
      model.apply({"params": params}, image, mask), image, mask
    )

  return method


def predictions(params: Any, batch: Batch) -> Harmonize:
  """Images that were made elsewhere: the batch brings them along."""
  del params
  # A quarter of a level up: both rounding and truncation give it back.
  image = (batch["prediction"].astype(jnp.float32) + 0.25) / 127.5 - 1
  return lambda composite, mask: image


def make_eval_step(
  config: Config,
  method: Method,
  mesh: Mesh,
  protocols: Sequence[str] = ("standard",),
) -> EvalStep:
  """The jitted `(params, batch) -> sums and images`, one compilation.

  Returns a dict of `area`, the foreground's pixels, [B]; `sums`, by protocol
  the metrics.Sums of `composite` and `harmonized`; and `pictures`, the images
  of the first protocol.

  Photos get the same composite whatever the batch they are in: its random key
  is folded from the config's seed and the example's index.
  """

  def eval_step(params, batch):
    batch = _with_composites(
      batch, config.seed, config.data.evaluation_composites
    )
    composite, real, mask = batch["composite"], batch["real"], batch["mask"]
    harmonize = method(params, batch)
    images = {
      name: PROTOCOLS[name](harmonize, composite, real, mask)
      for name in protocols
    }
    sums = {
      name: {
        kind: metrics.measure(getattr(compared, kind), compared.real, mask)
        for kind in tables.KINDS
      }
      for name, compared in images.items()
    }
    area = jnp.sum(mask, axis=(1, 2, 3), dtype=jnp.int32)
    pictures = images[protocols[0]]._asdict() | {"mask": mask}
    return {"area": area, "sums": sums, "pictures": pictures}

  place = replicated(mesh)
  return jax.jit(
    eval_step,
    in_shardings=(place, None),  # batches are as `put` split them
    # Every process reads all sums; pictures stay where they are.
    out_shardings={"area": place, "sums": place, "pictures": split(mesh, 4)},
    compiler_options=compiler_options(mesh.devices.flat[0].platform),
  )


def _with_composites(
  batch: Batch, seed: int, config: CompositesConfig
) -> Batch:
  key = jax.random.key(seed)
  keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch["index"])
  return with_composites(batch, keys, config)


class Evaluator:
  """Evaluates parameters on sources, with one compilation.

  Args:
    config: the batch's size, the seed, and how composites are made.
    method: what harmonizes: `network(model)` or `predictions`.
    protocols: names of PROTOCOLS, all in one pass over the data.
  """

  def __init__(
    self,
    config: Config,
    method: Method,
    mesh: Mesh,
    protocols: Sequence[str] = ("standard",),
  ):
    self.protocols = tuple(protocols)
    self.image_size = config.data.image_size
    self._config, self._mesh = config, mesh
    self._step = compile_before_start(
      make_eval_step(config, method, mesh, self.protocols)
    )

  def rows(
    self,
    params: Any,
    source: Source,
    first: int = 0,
    on_rows: Callable[[list[tables.Row]], None] = lambda rows: None,
  ) -> list[tables.Row]:
    """A row an image and protocol, from example `first` on, in order.

    The next batch is computed while the last one's sums are read.

    Args:
      on_rows: called with the rows of each batch as they come.
    """
    indices = np.arange(first, len(source))
    rows: list[tables.Row] = []
    done = 0

    def read(outputs) -> None:
      """The next batch's rows, without the padding of the last one."""
      nonlocal done
      found = jax.device_get({name: outputs[name] for name in ("area", "sums")})
      of_batch = indices[done : done + self._config.eval_batch_size]
      made = self._rows(source, of_batch, found)
      done += len(of_batch)
      rows.extend(made)
      on_rows(made)

    pending = None
    for outputs in self._outputs(params, source, indices):
      if pending is not None:
        read(pending)
      pending = outputs
    if pending is not None:
      read(pending)
    return rows

  def comparisons(
    self, params: Any, source: Source, titles: Mapping[int, str]
  ) -> list[visuals.Comparison]:
    """The images of some examples, to look at; by the first protocol.

    Args:
      titles: by the example's index, what the picture says of it.
    """
    indices = np.array(list(titles), int)
    found: list[visuals.Comparison] = []
    for outputs in self._outputs(params, source, indices):
      pictures = jax.tree.map(gather, outputs["pictures"])
      of_batch = indices[len(found) :][: len(pictures["real"])]
      for place, index in enumerate(of_batch):
        images = {name: image[place] for name, image in pictures.items()}
        title = f"{titles[int(index)]} {source.name(index)}".strip()
        found.append(visuals.Comparison(title, **images))
    return found

  def _rows(
    self, source: Source, indices: np.ndarray, found: Mapping[str, Any]
  ) -> list[tables.Row]:
    area = np.asarray(found["area"], np.float64)
    width = self._config.data.image_size
    columns = {
      protocol: {
        f"{kind}_{name}": column
        for kind in tables.KINDS
        for name, column in metrics.values(
          found["sums"][protocol][kind], area, width
        ).items()
      }
      for protocol in self.protocols
    }
    rows = []
    for place, index in enumerate(indices):
      head = {"name": source.name(index), "subset": source.subset(index)}
      for protocol, by_name in columns.items():
        numbers = {name: float(by_name[name][place]) for name in by_name}
        ratio = float(area[place]) / width**2
        rows.append({**head, "protocol": protocol, "ratio": ratio, **numbers})
    return rows

  def _outputs(
    self, params: Any, source: Source, indices: np.ndarray
  ) -> Iterator[dict[str, Any]]:
    config = self._config
    reader = ReadOptions(
      config.data.threads,
      config.data.workers,
      jax.process_index(),
      jax.process_count(),
    )
    batches = evaluation_batches(
      source,
      indices,
      config.eval_batch_size,
      reader,
      config.data.evaluation_composites,
    )
    for batch in prefetch_to_device(batches, self._mesh):
      yield self._step(params, batch)


def spread(count: int) -> dict[int, str]:
  """A few of `count` examples, evenly spread: the same ones every time."""
  chosen = np.linspace(0, count - 1, min(count, PICTURES)).astype(int)
  return {int(index): "" for index in chosen}


def summary_of(rows: Sequence[tables.Row]) -> dict[str, float]:
  """The harmonized images' means by metric name.

  The PSNR is infinite only where every image equals its truth.
  """
  means = tables.summarize(rows)["harmonized"]
  return {
    name: math.inf if means[name] is None else means[name]
    for name in metrics.NAMES
  }
