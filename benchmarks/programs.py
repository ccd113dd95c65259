"""The harmonization as programs that can be run: ours, ONNX, the authors'.

All take the same composite and mask, float32, and wait for their result.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import common
import environment
import jax
import numpy as np

from hdnet_jax import devices
from hdnet_jax.config import ModelConfig
from hdnet_jax.model.hdnet import HDNet, blend


class Program(NamedTuple):
  run: Callable[[], np.ndarray | jax.Array]  # the harmonized image
  seconds: float  # to compile it, or to load it
  compiled: jax.stages.Compiled | None = None  # by XLA

  @property
  def scratch(self) -> int | None:
    """Bytes that XLA plans for besides inputs and outputs, where it says so."""
    analysis = self.compiled and self.compiled.memory_analysis()
    return analysis.temp_size_in_bytes if analysis else None


def make(
  kind: str,
  model: ModelConfig,
  size: int,
  official: pathlib.Path | None = None,
  share: float = 0.25,
) -> Program:
  """A program of `common.kinds` for one image; `share` of it is foreground."""
  composite, mask = common.inputs(size, share)
  if kind == "official":
    return _official(official, model.width, composite, mask)
  params = random_params(model)
  if kind == "onnx":
    return _onnx(params, model, composite, mask)
  return _jax(params, model, composite, mask)


def jit(function: Callable, **options) -> Callable:
  """`jax.jit` with the compiler's options of the network's own programs."""
  platform = jax.devices()[0].platform
  compiler = devices.compiler_options(platform)
  return jax.jit(function, compiler_options=compiler, **options)


def random_params(model: ModelConfig) -> dict:
  """Drawn by NumPy: compiling the network's own draws takes longer."""
  image, mask = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 1))
  network = HDNet(**dataclasses.asdict(model))
  shapes = jax.eval_shape(network.init, jax.random.key(0), image, mask)
  rng = np.random.default_rng(0)
  # Small enough for activations without overflow.
  return jax.tree.map(
    lambda leaf: (0.05 * rng.normal(size=leaf.shape)).astype(np.float32),
    shapes["params"],
  )


def _jax(params, model: ModelConfig, composite, mask) -> Program:
  network = HDNet(**dataclasses.asdict(model))

  def harmonize(params, image, mask):
    return blend(network.apply({"params": params}, image, mask), image, mask)

  arguments = jax.device_put((params, composite, mask), jax.devices()[0])
  start = time.perf_counter()
  compiled = jit(harmonize).lower(*arguments).compile()
  seconds = time.perf_counter() - start
  return Program(
    lambda: compiled(*arguments).block_until_ready(), seconds, compiled
  )


def _onnx(params, model: ModelConfig, composite, mask) -> Program:
  import onnxruntime

  from hdnet_jax.onnx import network

  graph = network.build(params, model, composite.shape[1:3])
  start = time.perf_counter()  # the export is done once, and not by who runs it
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = environment.usable_threads()
  # From the second run on it would hold what the first took, and as much again.
  options.enable_mem_pattern = False
  # Its threads would go on spinning in the next program's run.
  options.add_session_config_entry("session.force_spinning_stop", "1")
  session = onnxruntime.InferenceSession(
    graph, options, providers=["CPUExecutionProvider"]
  )
  feed = {"composite": composite, "mask": mask}
  return Program(
    lambda: session.run(None, feed)[0], time.perf_counter() - start
  )


def _official(path, width: int, composite, mask) -> Program:
  import official

  start = time.perf_counter()
  model = official.load_model(path, width, environment.usable_threads())
  forward = official.make_forward(model, composite, mask)
  return Program(forward, time.perf_counter() - start)
