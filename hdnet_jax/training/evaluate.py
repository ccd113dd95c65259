"""Evaluate a run, a weights file, or images of any method."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from hdnet_jax.atomic_write import writing
from hdnet_jax.config import Config, ModelConfig
from hdnet_jax.data.examples import Source
from hdnet_jax.data.pipeline import open_source
from hdnet_jax.data.predictions import Predicted
from hdnet_jax.devices import check_divides, make_mesh, replicated
from hdnet_jax.distributed import is_main
from hdnet_jax.errors import UserError
from hdnet_jax.evaluation import full_resolution, published
from hdnet_jax.evaluation.evaluator import Evaluator, network, predictions
from hdnet_jax.evaluation.report import write_report
from hdnet_jax.evaluation.tables import Row
from hdnet_jax.inference.engine_jax import JaxEngine
from hdnet_jax.inference.harmonizer import Harmonizer
from hdnet_jax.terminal import ProgressBar
from hdnet_jax.training.restore import restore_params


def evaluate_checkpoint(
  config: Config,
  workdir: pathlib.Path,
  which: str,
  output: pathlib.Path,
  protocols: Sequence[str] = ("standard",),
) -> list[Row]:
  """Evaluate a run's checkpoint on the test split of `config`, into `output`.

  Args:
    config: must have the run's network; its data may differ.
    which: "last", or "best" on the validation split.

  Raises:
    UserError: where there is no such run, network or checkpoint.
  """
  mesh = _make_mesh(config)
  source = _open(config, protocols)
  params, trained, step = restore_params(workdir, which, mesh)
  if trained.model != config.model:
    raise UserError(
      f"{workdir} was trained with {trained.model}, not {config.model}; give "
      "the config of the run"
    )
  evaluator = _make_evaluator(config, config.model, mesh, protocols)
  facts = facts_of(config, which, step)
  return _report(evaluator, params, source, config, output, facts)


def evaluate_weights(
  config: Config,
  params: Mapping[str, Any],
  model: ModelConfig,
  name: str,
  output: pathlib.Path,
  protocols: Sequence[str] = ("standard",),
) -> list[Row]:
  """Evaluate weights on the test split of `config`, as `evaluate_checkpoint`.

  Args:
    params, model: as of `hdnet_jax.weights.load`; the config's model is unused.
    name: what the report calls them.
  """
  mesh = _make_mesh(config)
  source = _open(config, protocols)
  params = jax.device_put(params, replicated(mesh))
  evaluator = _make_evaluator(config, model, mesh, protocols)
  facts = {
    "split": config.data.test_split,
    "file": name,
    "method": published.method_of(model),
  }
  return _report(evaluator, params, source, config, output, facts)


def evaluate_predictions(
  config: Config,
  folder: pathlib.Path,
  output: pathlib.Path,
  protocols: Sequence[str] = ("standard",),
) -> list[Row]:
  """Score a folder of images of any method, matched by name.

  Raises:
    UserError: if an example of the split has no image in `folder`.
  """
  if full_resolution.NAME in protocols:
    raise UserError(
      f"--protocol={full_resolution.NAME} evaluates a network; score "
      "--predictions under standard or paper"
    )
  if config.data.makes_composites:
    raise UserError(
      f"config.data.source={config.data.source!r} has photos alone, of which "
      "composites are made here: no --predictions can be of those; evaluate on "
      "iHarmony4 or a folder in its layout"
    )
  mesh, data = _make_mesh(config), config.data
  truth = open_source(data, data.test_split)
  source = Predicted(truth, folder, data.image_size)
  evaluator = Evaluator(config, predictions, mesh, protocols)
  facts = {"split": config.data.test_split, "predictions": folder.name}
  return _report(evaluator, {}, source, config, output, facts)


def facts_of(config: Config, which: str, step: int) -> dict[str, Any]:
  """Return what a report says of a checkpoint."""
  return {
    "split": config.data.test_split,
    "config": config.name,
    "checkpoint": which,
    "step": step,
    "method": published.method_of(config.model),
  }


def _make_mesh(config: Config) -> jax.sharding.Mesh:
  mesh = make_mesh(config.mesh)
  check_divides("eval_batch_size", config.eval_batch_size, mesh)
  return mesh


def _open(config: Config, protocols: Sequence[str]) -> Source:
  """Open the test split; for `fullres`, at the images' own sizes."""
  data = config.data
  if full_resolution.NAME not in protocols:
    return open_source(data, data.test_split)
  if data.source not in ("folder", "iharmony4"):
    raise UserError(
      f"--protocol={full_resolution.NAME} needs composites at their own size, "
      f"which config.data.source={data.source!r} has not; give iHarmony4's "
      "folder as it is published"
    )
  return full_resolution.FullSize(data.root, data.test_split, data.subsets)


def _make_evaluator(
  config: Config,
  model: ModelConfig,
  mesh: jax.sharding.Mesh,
  protocols: Sequence[str],
) -> Evaluator | full_resolution.FullSizeEvaluator:
  if full_resolution.NAME in protocols:
    if jax.process_count() > 1:
      raise UserError(f"--protocol={full_resolution.NAME} runs in one process")
    size = config.data.image_size
    return full_resolution.FullSizeEvaluator(
      lambda params: Harmonizer(JaxEngine(params, model), size).harmonize
    )
  return Evaluator(config, network(model), mesh, protocols)


def _report(
  evaluator: Evaluator | full_resolution.FullSizeEvaluator,
  params: Any,
  source: Source,
  config: Config,
  output: pathlib.Path,
  facts: Mapping[str, Any],
) -> list[Row]:
  with (
    writing(output),
    ProgressBar("evaluating", len(source), hidden=not is_main()) as bar,
  ):
    return write_report(
      evaluator,
      params,
      source,
      config,
      output,
      facts,
      on_done=lambda done, _: bar.update(done),
    )
