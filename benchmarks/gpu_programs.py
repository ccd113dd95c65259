"""The programs that `gpu.py` times: of this project, and of the authors.

JAX and PyTorch are imported by the one that uses them, in its own process.
"""

import concurrent.futures
import dataclasses
import functools
import os
import time
from collections.abc import Callable

import common

MATRIX = 8192  # side, for the ceiling of arithmetic
COPY = 2**30  # elements, for that of bandwidth


@dataclasses.dataclass(frozen=True)
class Case:
  task: str  # of TASKS
  width: int
  size: int
  batch: int
  precision: str


@dataclasses.dataclass(frozen=True)
class Program:
  rounds: Callable[[int], None]  # so many steps, and waits for the last
  memory: int  # bytes
  moved: float | None = None  # bytes, of a step


class JaxLibrary:
  """Ours. Compiles all programs at a time: it is what takes long."""

  def __init__(self, job: dict):
    import jax

    self._job = job
    self.failures = (jax.errors.JaxRuntimeError,)
    self._first = jax.devices()[0]
    self.device = self._first.device_kind
    self._is_gpu = self._first.platform in ("gpu", "cuda", "rocm")

  def build_all(self, todo: list[Case]):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
      built = [(case, threads.submit(self._build, case)) for case in todo]
    # The card is idle now.
    return [(case, building.result) for case, building in built]

  def _build(self, case: Case) -> Program:
    import jax

    precision = "highest" if case.precision == "float32" else "default"
    # Of the thread that traces.
    with jax.default_matmul_precision(precision):
      if case.task == "inference":
        return self._inference(case)
      return self._train(case)

  def _model(self, case: Case):
    from hdnet_jax.config import ModelConfig

    dtype = "bfloat16" if case.precision == "bfloat16" else "float32"
    return ModelConfig(case.width, self._job["form"], dtype=dtype)

  def _train(self, case: Case) -> Program:
    import jax
    import train_step

    from hdnet_jax import devices
    from hdnet_jax.config import Config, DataConfig

    config = Config(
      batch_size=case.batch,
      model=self._model(case),
      data=DataConfig(image_size=case.size),
    )
    trainer = train_step.Trainer(config, [self._first])
    batch = pixels(case)
    if case.task == "photos":
      photo, alpha = batch["real"], 255 * batch["mask"]
      batch = {
        "background": photo,
        "object": photo,
        "alpha": alpha,
        "index": batch["index"],
      }
    batch = devices.put(batch, trainer.mesh)
    compiled = trainer.compile(batch)

    def rounds(steps: int) -> None:
      state = trainer.state
      for _ in range(steps):
        state, _ = compiled(state, batch)
      trainer.state = jax.block_until_ready(state)

    return Program(rounds, *needs(compiled))

  def _inference(self, case: Case) -> Program:
    import programs

    program = programs.make("jax", self._model(case), case.size)

    def rounds(steps: int) -> None:
      # An image is waited for: it is what its user waits for.
      for _ in range(steps):
        program.run()

    return Program(rounds, *needs(program.compiled))

  def trace(self, folder: str, case: Case, program: Program) -> None:
    import jax

    name = f"{case.task}-{case.width}-{case.size}-{case.batch}-{case.precision}"
    with jax.profiler.trace(os.path.join(folder, name)):
      program.rounds(3)

  def ceilings(self) -> dict[str, float]:
    """FLOP/s of a matrix product by precision, and bytes a second of a copy."""
    import jax
    import jax.numpy as jnp

    if not self._is_gpu:
      return {}
    found = {}
    for precision in ("tf32", "bfloat16", "float32"):
      dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
      chosen = "highest" if precision == "float32" else "default"
      key = jax.random.key(0)
      a = jax.random.normal(key, (MATRIX, MATRIX), dtype)
      product = jax.jit(lambda a, p=chosen: jnp.dot(a, a, precision=p))
      found[precision] = 2 * MATRIX**3 / fastest(product, a)
    x = jnp.ones(COPY, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    return found | {"bandwidth": 8 * COPY / fastest(copy, x)}


class TorchLibrary:
  """The authors' code."""

  failures = (RuntimeError,)  # PyTorch has none of its own for most

  def __init__(self, job: dict):
    import torch

    self._job = job
    self._gpu = 0 if torch.cuda.is_available() else None
    self.device = "CPU"
    if self._gpu is not None:
      self.device = torch.cuda.get_device_name(0)

  def build_all(self, todo: list[Case]):
    return [
      (case, functools.partial(self._build, case))
      for case in todo
      if case.task != "photos"  # they have no such step
    ]

  def ceilings(self) -> dict[str, float]:
    return {}

  def trace(self, folder: str, case: Case, program: Program) -> None:
    """None is kept of theirs."""

  def _build(self, case: Case) -> Program:
    import official
    import torch

    fast = case.precision != "float32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast
    torch.cuda.empty_cache()
    model = official.load_model(
      self._job["official"], case.width, gpu=self._gpu
    )
    kind = "cpu" if self._gpu is None else "cuda"
    half = case.precision == "bfloat16"
    composite, mask = common.inputs(case.size, batch=case.batch)
    model.set_input(official.inputs(composite, composite, mask))
    training = case.task == "train"
    model.netG.train(training)

    def rounds(steps: int) -> None:
      for _ in range(steps):
        with (
          torch.autocast(kind, torch.bfloat16, enabled=half),
          torch.set_grad_enabled(training),
        ):
          model.optimize_parameters() if training else model.forward()
        if not training:
          self._wait()
      self._wait()

    if self._gpu is not None:
      torch.cuda.reset_peak_memory_stats()
    rounds(1)
    memory = 0
    if self._gpu is not None:
      memory = torch.cuda.max_memory_allocated()
    return Program(rounds, memory)

  def _wait(self) -> None:
    import torch

    if self._gpu is not None:
      torch.cuda.synchronize()


def needs(compiled) -> tuple[int, float | None]:
  """Bytes that a program of XLA's holds at once, and those that it moves."""
  memory = compiled.memory_analysis()
  held = (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )
  return held, (compiled.cost_analysis() or {}).get("bytes accessed")


def pixels(case: Case) -> dict:
  """Random photos of uint8 with the composites to learn from."""
  import numpy as np

  composite, mask = common.inputs(case.size, batch=case.batch)
  image = np.uint8((composite + 1) * 127.5)
  return {
    "composite": image,
    "real": image[::-1],
    "mask": np.uint8(mask),
    "index": np.arange(case.batch, dtype=np.int32),
  }


def fastest(function: Callable, *args, runs: int = 10) -> float:
  import jax

  seconds = []
  for _ in range(runs + 1):
    start = time.perf_counter()
    jax.block_until_ready(function(*args))
    seconds.append(time.perf_counter() - start)
  return min(seconds[1:])
