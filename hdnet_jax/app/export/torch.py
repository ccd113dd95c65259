"""The authors' PyTorch weights as ours, and back.

The conversion is the table `_names`: the authors' name, our path and how the
array is laid out. Nothing is guessed: every leftover, missing or misshapen
entry is reported at once. It needs NumPy only; `torch_file` reads and writes
the authors' files.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from hdnet_jax.app.export.torch_file import read_file
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.weights import parameter_shapes


class Layout(NamedTuple):
  """An array of theirs as ours, and of ours as theirs."""

  ours: Callable[[np.ndarray], np.ndarray]
  theirs: Callable[[np.ndarray], np.ndarray]


# OIHW as HWIO.
_CONV = Layout(
  lambda weight: weight.transpose(2, 3, 1, 0),
  lambda kernel: kernel.transpose(3, 2, 0, 1),
)
# IOHW of a transposed convolution as the correlation that it applies.
_DECONV = Layout(
  lambda weight: weight.transpose(2, 3, 0, 1)[::-1, ::-1],
  lambda kernel: kernel[::-1, ::-1].transpose(2, 3, 0, 1),
)
# [O, I, 1] of a 1-d convolution as [I, O]; [O, I] will do.
_LINE = Layout(
  lambda weight: weight.reshape(weight.shape[:2]).T,
  lambda kernel: kernel.T[:, :, None],
)
# [O, I, 1, 1] of a 2-d one as [I, O].
_POINT = Layout(_LINE.ours, lambda kernel: kernel.T[:, :, None, None])
# [2*C*C, 2, 1, 1] of MGD's grouped 1x1 convolution as [region, 2, C*C].
_GROUPED = Layout(
  lambda weight: weight.reshape(2, -1, weight.shape[1]).transpose(0, 2, 1),
  lambda kernel: kernel.transpose(0, 2, 1).reshape(-1, 2, 1, 1),
)
# [2*C*C] as [region, C*C].
_REGIONS = Layout(lambda bias: bias.reshape(2, -1), np.ravel)
_VECTOR = Layout(lambda array: array, lambda array: array)


_ENCODER = {
  "x1": "model_layer1.1",
  "x2": "model_layer2.1",
  "x3": "model_layer3.1",
  "x4": "model_layer4.1",
  "x5": "model_layer5.1",
  "x6": "model_layer6.1",
  "x7": "model_layer71.1",
}
_DECODER = {
  "y6": "model_layer72",
  "y5": "model_layer8",
  "y4": "model_layer9",
  "y3": "model_layer10",
  "y2": "model_layer11",
  "y1": "model_layer12",
  "y0": "model_layer13",
}
_RAIN = (
  "foreground_gamma",
  "foreground_beta",
  "background_gamma",
  "background_beta",
)


def _names() -> dict[str, tuple[str, Layout]]:
  """The authors' name -> (our path, layout)."""
  table = {
    "model_layer0.weight": ("x0/kernel", _CONV),
    "model_out.1.weight": ("out/kernel", _DECONV),
    "model_out.1.bias": ("out/bias", _VECTOR),
    "LD.linear.weight": ("ld/fuse/kernel", _LINE),
    "LD.linear.bias": ("ld/fuse/bias", _VECTOR),
  }
  for ours, theirs in _ENCODER.items():
    table[f"{theirs}.weight"] = (f"{ours}/conv/kernel", _CONV)
  for ours, theirs in _DECODER.items():
    table[f"{theirs}.1.weight"] = (f"{ours}/conv/kernel", _DECONV)
    for name in _RAIN:
      table[f"{theirs}norm.{name}"] = (f"{ours}/rain/{name}", _VECTOR)
  for ours in ("y2", "y1", "y0"):
    theirs, mgd = f"{_DECODER[ours]}att.conv_kernel", f"mgd_{ours}"
    table |= {
      f"{theirs}.1.weight": (f"{mgd}/squeeze/kernel", _POINT),
      f"{theirs}.1.bias": (f"{mgd}/squeeze/bias", _VECTOR),
      f"{theirs}.3.weight": (f"{mgd}/kernel", _GROUPED),
      f"{theirs}.3.bias": (f"{mgd}/bias", _REGIONS),
    }
  return table


def is_unused(name: str) -> bool:
  """Whether `name` is a weight that the authors' forward never touches."""
  return ".conv_guide." in name or name.startswith("conv_guide.")


def convert_state_dict(
  state_dict: Mapping[str, np.ndarray],
) -> tuple[ModelConfig, dict]:
  """The authors' `state_dict` as our config and parameters.

  Args:
    state_dict: float arrays by the authors' names and in PyTorch's layouts.
      `conv_guide` takes no part in a given-mask model and is dropped.

  Returns:
    The config, in the official form and of the width found, and the "params"
    of `HDNet(**dataclasses.asdict(config))`, float32.

  Raises:
    UserError: listing every entry that is missing, left over or misshapen.
  """
  first = state_dict.get("model_layer0.weight")
  if first is None or np.ndim(first) != 4:
    raise UserError(
      "no 4-dimensional 'model_layer0.weight' among "
      f"{len(state_dict)} entries: this is no HDNet state dict"
    )
  config = ModelConfig(width=first.shape[0], local_dynamics="official")
  shapes = parameter_shapes(config)
  table = _names()
  problems, params = [], {}
  for name, (path, layout) in table.items():
    if name not in state_dict:
      problems.append(f"missing: {name}")
      continue
    array = np.asarray(state_dict[name])
    try:
      ours = np.ascontiguousarray(layout.ours(array), dtype=np.float32)
    except (ValueError, IndexError):
      ours = None
    if ours is None or ours.shape != shapes[path]:
      problems.append(
        f"wrong shape: {name} {array.shape} for {path} {shapes[path]}"
      )
      continue
    _put(params, path, ours)
  problems += [
    f"left over: {name}"
    for name in state_dict
    if name not in table and not is_unused(name)
  ]
  if problems:
    raise UserError(
      f"{len(problems)} entries do not fit HDNet of width {config.width}:\n  "
      + "\n  ".join(problems)
    )
  return config, params


def make_state_dict(
  params: Mapping, config: ModelConfig
) -> dict[str, np.ndarray]:
  """The authors' state dict of our parameters, the inverse of the above.

  `conv_guide`, without which their network does not load, is of zeros: it takes
  no part in what is computed.

  Raises:
    UserError: where the network is not in the form that their code computes.
  """
  for name, value in (
    ("local_dynamics", "official"),
    ("neighbors", 1),
    ("global_dynamics", "mask"),
  ):
    found = getattr(config, name)
    if found != value:
      raise UserError(
        f"the authors' code computes {name}={value!r}, not {found!r}"
      )
  state_dict = {}
  for name, (path, layout) in _names().items():
    leaf = params
    for part in path.split("/"):
      leaf = leaf[part]
    array = np.asarray(leaf, np.float32)
    state_dict[name] = np.ascontiguousarray(layout.theirs(array))
    if name.endswith("conv_kernel.1.weight"):
      guide = name.replace("conv_kernel.1.weight", "conv_guide")
      channels = array.shape[0]
      state_dict[f"{guide}.weight"] = np.zeros((2, channels, 1, 1), np.float32)
      state_dict[f"{guide}.bias"] = np.zeros(2, np.float32)
  return state_dict


def differing(
  state_dict: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> list[str]:
  """Used entries of `state_dict` that `other` does not hold bit for bit.

  Types may differ where no bit is lost by it, as float16 in float32.
  """
  return [
    name
    for name, array in state_dict.items()
    if not is_unused(name)
    and (
      other[name].size != array.size
      or other[name].astype(array.dtype).tobytes() != array.tobytes()
      or array.astype(other[name].dtype).tobytes() != other[name].tobytes()
    )
  ]


def unwrap(checkpoint: Mapping) -> dict:
  """The state dict inside what the authors' and others' programs save.

  It may lie under `state_dict` or `netG`, and its names may start with
  `module.` or `netG.`.
  """
  while isinstance(checkpoint, Mapping):
    nested = checkpoint.get("state_dict", checkpoint.get("netG"))
    if not isinstance(nested, Mapping):
      break
    checkpoint = nested
  if not isinstance(checkpoint, Mapping):
    raise UserError(
      f"a {type(checkpoint).__name__} in place of names and arrays: this is no "
      "HDNet state dict"
    )
  state_dict = {}
  for name, value in checkpoint.items():
    name = str(name)
    while name.startswith(("module.", "netG.")):
      name = name.split(".", 1)[1]
    state_dict[name] = value
  return state_dict


def read_checkpoint(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The state dict of a file of `torch.save`, unwrapped, as NumPy arrays.

  Nothing but arrays and plain containers is read: no code of the file's runs.

  Raises:
    pickle.UnpicklingError: where the file holds anything else, or is damaged.
    UserError: where it is none, or holds no names and arrays.
  """
  checkpoint = unwrap(read_file(path))
  return {name: np.asarray(value) for name, value in checkpoint.items()}


def _put(tree: dict, path: str, leaf: np.ndarray) -> None:
  *parents, last = path.split("/")
  for name in parents:
    tree = tree.setdefault(name, {})
  tree[last] = leaf
