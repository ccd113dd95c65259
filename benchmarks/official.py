"""The authors' PyTorch code, from a clone of theirs that the user has.

    git clone https://github.com/chenhaoxing/HDNet
    pip install torch
    python benchmarks/cpu_latency.py --official HDNet

Nothing of theirs is changed or copied. What keeps it from being imported is
made up for from outside: `models/networks.py` imports `imp`, which Python 3.12
no longer has, and never uses it. It runs on the CPU where their list of GPUs is
empty. The training step is their `HDNetModel.optimize_parameters`
with the defaults of their options: their loss (a squared error over the
foreground's area, though named L1) and their Adam.
"""

import contextlib
import importlib
import importlib.util
import io
import pathlib
import sys
import types
from collections.abc import Callable, Iterator

import numpy as np

FILES = (
  "models/networks.py",
  "models/att.py",
  "models/drconv.py",
  "models/normalize.py",
  "models/hdnet_model.py",
  "models/base_model.py",
  "models/fMSE.py",
)
OPTIONS = {
  "input_nc": 3,
  "output_nc": 3,
  "netG": "hdnet",
  "normG": "RAIN",
  "no_dropout": False,
  "init_type": "normal",
  "init_gain": 0.02,
  "isTrain": True,
  "lr": 0.001,
  "g_lr_ratio": 1.0,
  "beta1": 0.9,
  "lambda_L1": 1.0,
  "preprocess": "none",
  "checkpoints_dir": "checkpoints",  # nothing is written there
  "name": "benchmark",
}


def check(path: pathlib.Path) -> None:
  """Ends the program with a line that says what is missing, if anything is."""
  missing = [name for name in FILES if not pathlib.Path(path, name).is_file()]
  if missing:
    sys.exit(
      f"--official {path}: no clone of github.com/chenhaoxing/HDNet, for it "
      f"lacks {', '.join(missing)}"
    )
  if not importlib.util.find_spec("torch"):
    sys.exit("--official needs PyTorch (pip install torch)")


def load_model(
  path: pathlib.Path,
  width: int,
  threads: int | None = None,
  gpu: int | None = None,
):
  """Their `HDNetModel` with random weights; its network is `netG`.

  Its files and PyTorch are there: see `check`. On the CPU, or on GPU `gpu`.
  """
  import torch

  if threads:
    torch.set_num_threads(threads)
  torch.manual_seed(0)
  options = types.SimpleNamespace(**OPTIONS, ngf=width)
  options.gpu_ids = [] if gpu is None else [gpu]
  # They print that they initialize.
  with (
    _importable(pathlib.Path(path).resolve()),
    contextlib.redirect_stdout(io.StringIO()),
  ):
    return importlib.import_module("models.hdnet_model").HDNetModel(options)


def make_forward(
  model, composite: np.ndarray, mask: np.ndarray
) -> Callable[[], np.ndarray]:
  """A harmonization of theirs: network and blend; returns NHWC.

  Args:
    model: of `load_model`.
    composite: [B, H, W, 3] in -1 to 1.
    mask: [B, H, W, 1].
  """
  import torch

  model.netG.eval()
  model.set_input(inputs(composite, composite, mask))

  def forward() -> np.ndarray:
    with torch.no_grad():
      model.forward()
    return model.harmonized.numpy().transpose(0, 2, 3, 1)

  return forward


def make_step(
  model, composite: np.ndarray, real: np.ndarray, mask: np.ndarray
) -> Callable[[], float]:
  """A training step of theirs on a batch of [B, H, W, C]; returns the loss."""
  model.netG.train()
  model.set_input(inputs(composite, real, mask))

  def step() -> float:
    model.optimize_parameters()
    return float(model.loss_G.detach())

  return step


def inputs(composite: np.ndarray, real: np.ndarray, mask: np.ndarray) -> dict:
  import torch

  arrays = {"comp": composite, "real": real, "mask": mask}
  return {
    name: torch.from_numpy(
      np.ascontiguousarray(array.transpose(0, 3, 1, 2), np.float32)
    )
    for name, array in arrays.items()
  }


@contextlib.contextmanager
def _importable(path: pathlib.Path) -> Iterator[None]:
  """While their modules are imported: their folder, and a stand-in `imp`."""
  loaded = sys.modules.get("models")
  if loaded and not str(loaded.__file__).startswith(str(path)):
    sys.exit(f"--official: another package `models` is loaded, {loaded}")
  sys.path.insert(0, str(path))
  before = sys.modules.get("imp")
  sys.modules["imp"] = types.ModuleType("imp")  # it is deprecated in 3.11
  try:
    yield
  finally:
    sys.path.remove(str(path))
    del sys.modules["imp"]
    if before:
      sys.modules["imp"] = before
