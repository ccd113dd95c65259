"""Evaluate a way to harmonize on a split, image by image."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hdnet_jax.composites import with_composites
from hdnet_jax.composites.color_map import Maps, load_maps
from hdnet_jax.config import CompositesConfig, Config, ModelConfig
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
from hdnet_jax.model.hdnet import HDNet, apply, blend

PICTURES = 6  # rows of a grid

Batch = dict[str, jax.Array]
# Maps parameters and a batch to a function that harmonizes it.
Method = Callable[[Any, Batch], Harmonize]
EvalStep = Callable[[Any, Batch], dict[str, Any]]


@functools.cache  # equal configs share one method, and compiled programs
def network(config: ModelConfig) -> Method:
  """Harmonize by HDNet."""
  model = HDNet(**dataclasses.asdict(config))

  def method(params: Any, batch: Batch) -> Harmonize:
    del batch
    return lambda image, mask: blend(
      apply(model, params, image, mask), image, mask
    )

  return method


def predictions(params: Any, batch: Batch) -> Harmonize:
  """Take the harmonized images of another program from the batch."""
  del params
  # A quarter of a level is added: rounding and truncation both give the pixel.
  image = (batch["prediction"].astype(jnp.float32) + 0.25) / 127.5 - 1
  return lambda composite, mask: image


def make_eval_step(
  config: Config,
  method: Method,
  mesh: Mesh,
  protocols: Sequence[str] = ("standard",),
) -> EvalStep:
  """Return the jitted `(params, batch) -> outputs`.

  The outputs are `area`, the foreground's pixels, [B]; `sums`, by protocol the
  metrics.Sums of `composite` and `harmonized`; and `pictures`, the images of
  the first protocol.

  The random key of a photo's composite comes from the config's seed and the
  example's index, not from the batch.

  Evaluators of one process that do the same share one compilation.
  """
  composites = config.data.evaluation_composites
  make = _make_eval_step
  if composites.color_maps:  # a file that may change
    make = make.__wrapped__
  return make(config.seed, composites, method, mesh, tuple(protocols))


@functools.lru_cache(maxsize=8)
def _make_eval_step(
  seed: int,
  composites: CompositesConfig,
  method: Method,
  mesh: Mesh,
  protocols: tuple[str, ...],
) -> EvalStep:
  file = composites.color_maps
  color_maps = load_maps(file) if file else None

  def eval_step(params: Any, batch: Batch) -> dict[str, Any]:
    batch = _with_composites(batch, seed, composites, color_maps)
    composite, real, mask = batch["composite"], batch["real"], batch["mask"]
    harmonize = method(params, batch)
    images = {
      name: PROTOCOLS[name](harmonize, composite, real, mask)
      for name in protocols
    }
    sums = {
      name: {
        kind: metrics.pixel_sums(getattr(compared, kind), compared.real, mask)
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
  batch: Batch, seed: int, config: CompositesConfig, color_maps: Maps | None
) -> Batch:
  key = jax.random.key(seed)
  keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(batch["index"])
  return with_composites(batch, keys, config, color_maps)


class Evaluator:
  """Evaluates parameters on sources, with one compilation.

  Args:
    config: the batch's size, the seed, and how composites are made.
    method: `network(model)` or `predictions`.
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
    """Return a row for each image and protocol, from example `first` on.

    The next batch is computed while the sums of the last one are read.

    Args:
      on_rows: called with the rows of each batch as they come.
    """
    indices = np.arange(first, len(source))
    size = self._config.eval_batch_size
    # The last batch is padded: it has fewer indices than images.
    parts = [indices[i : i + size] for i in range(0, len(indices), size)]
    rows: list[tables.Row] = []

    def read(part: np.ndarray, outputs: Mapping[str, Any]) -> None:
      numbers = jax.device_get((outputs["area"], outputs["sums"]))
      batch_rows = self._rows(source, part, *numbers)
      rows.extend(batch_rows)
      on_rows(batch_rows)

    outputs = self._outputs(params, source, indices)
    batches = zip(parts, outputs, strict=True)
    # A batch is read after the next one was dispatched.
    for batch, _ in itertools.pairwise(itertools.chain(batches, [None])):
      if batch is not None:
        read(*batch)
    return rows

  def comparisons(
    self, params: Any, source: Source, titles: Mapping[int, str]
  ) -> list[visuals.Comparison]:
    """Return the images of examples, under the first protocol.

    Args:
      titles: what to write below the picture, by the example's index.
    """
    indices = np.array(list(titles), int)
    comparisons: list[visuals.Comparison] = []
    for outputs in self._outputs(params, source, indices):
      pictures = jax.tree.map(gather, outputs["pictures"])
      of_batch = indices[len(comparisons) :][: len(pictures["real"])]
      for place, index in enumerate(of_batch):
        images = {name: image[place] for name, image in pictures.items()}
        title = f"{titles[int(index)]} {source.name(index)}".strip()
        comparisons.append(visuals.Comparison(title, **images))
    return comparisons

  def _rows(
    self,
    source: Source,
    indices: np.ndarray,
    area: np.ndarray,
    sums: Mapping[str, Mapping[str, metrics.Sums]],
  ) -> list[tables.Row]:
    area = np.asarray(area, np.float64)
    width = self._config.data.image_size
    columns = {
      protocol: {
        f"{kind}_{name}": column
        for kind in tables.KINDS
        for name, column in metrics.from_sums(
          sums[protocol][kind], area, width
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
  """Choose a few of `count` examples, evenly spread, with empty titles."""
  chosen = np.linspace(0, count - 1, min(count, PICTURES)).astype(int)
  return {int(index): "" for index in chosen}


def summary_of(rows: Sequence[tables.Row]) -> dict[str, float]:
  """Return the harmonized images' means by metric name.

  The PSNR is infinite only where every image equals its truth.
  """
  means = tables.summarize(rows)["harmonized"]
  return {
    name: math.inf if means[name] is None else means[name]
    for name in metrics.NAMES
  }
