"""Conversion of the authors' PyTorch weights, and back.

It follows the table `_names`: the authors' name, the parameter's path, and the
array's layout. Every leftover, missing or misshapen entry is reported at once.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hdnet_jax.app.export.torch_file import read_file
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.architecture import WITH_MGD, parameter_shapes
from hdnet_jax.weights_checks import flatten, unflatten


class Layout(NamedTuple):
  """Conversions between an array of a state dict and a parameter."""

  to_parameter: Callable[[np.ndarray], np.ndarray]
  to_torch: Callable[[np.ndarray], np.ndarray]


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
_POINT = Layout(_LINE.to_parameter, lambda kernel: kernel.T[:, :, None, None])
# [2*C*C, 2, 1, 1] of MGD's grouped 1x1 convolution as [region, 2, C*C].
_GROUPED = Layout(
  lambda weight: weight.reshape(2, -1, weight.shape[1]).transpose(0, 2, 1),
  lambda kernel: kernel.transpose(0, 2, 1).reshape(-1, 2, 1, 1),
)
# [2*C*C] as [region, C*C].
_REGIONS = Layout(lambda bias: bias.reshape(2, -1), np.ravel)
_VECTOR = Layout(lambda array: array, lambda array: array)


# Stage to the authors' layer.
_ENCODER = {"x1": 1, "x2": 2, "x3": 3, "x4": 4, "x5": 5, "x6": 6, "x7": 71}
_DECODER = {"y6": 72, "y5": 8, "y4": 9, "y3": 10, "y2": 11, "y1": 12, "y0": 13}


def _names() -> dict[str, tuple[str, Layout]]:
  """Return path and layout of every parameter by the authors' name."""
  table = {
    "model_layer0.weight": ("x0/kernel", _CONV),
    "model_out.1.weight": ("out/kernel", _DECONV),
    "model_out.1.bias": ("out/bias", _VECTOR),
    "LD.linear.weight": ("ld/fuse/kernel", _LINE),
    "LD.linear.bias": ("ld/fuse/bias", _VECTOR),
  }
  for stage, number in _ENCODER.items():
    table[f"model_layer{number}.1.weight"] = (f"{stage}/conv/kernel", _CONV)
  for stage, number in _DECODER.items():
    layer = f"model_layer{number}"
    table[f"{layer}.1.weight"] = (f"{stage}/conv/kernel", _DECONV)
    for region in ("foreground", "background"):
      for name in (f"{region}_gamma", f"{region}_beta"):
        table[f"{layer}norm.{name}"] = (f"{stage}/rain/{name}", _VECTOR)
  for stage in WITH_MGD:
    predictor = f"model_layer{_DECODER[stage]}att.conv_kernel"
    table |= {
      f"{predictor}.1.weight": (f"mgd_{stage}/squeeze/kernel", _POINT),
      f"{predictor}.1.bias": (f"mgd_{stage}/squeeze/bias", _VECTOR),
      f"{predictor}.3.weight": (f"mgd_{stage}/kernel", _GROUPED),
      f"{predictor}.3.bias": (f"mgd_{stage}/bias", _REGIONS),
    }
  return table


def is_unused(name: str) -> bool:
  """Whether the authors' forward pass leaves the weight `name` out."""
  return ".conv_guide." in name or name.startswith("conv_guide.")


def convert_state_dict(
  state_dict: Mapping[str, np.ndarray],
) -> tuple[ModelConfig, dict]:
  """Convert the authors' state dict, float arrays, to config and parameters.

  Returns:
    The config, with local_dynamics="official", and the "params" of
    `HDNet(**dataclasses.asdict(config))`, float32; without `conv_guide`.

  Raises:
    UserError: with every entry that is missing, left over or misshapen.
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
      parameter = layout.to_parameter(array)
    except (ValueError, IndexError):
      parameter = None
    if parameter is None or parameter.shape != shapes[path]:
      problems.append(
        f"wrong shape: {name} {array.shape} for {path} {shapes[path]}"
      )
      continue
    params[path] = np.ascontiguousarray(parameter, dtype=np.float32)
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
  return config, unflatten(params)


def make_state_dict(
  params: Mapping, config: ModelConfig
) -> dict[str, np.ndarray]:
  """Convert parameters to the authors' state dict.

  `conv_guide`, without which their network does not load, is of zeros.

  Raises:
    UserError: if their code computes another form of the network.
  """
  for name, value in (
    ("local_dynamics", "official"),
    ("neighbors", 1),
    ("global_dynamics", "mask"),
  ):
    own = getattr(config, name)
    if own != value:
      raise UserError(
        f"the authors' code computes {name}={value!r}, not {own!r}"
      )
  leaves, state_dict = flatten(params), {}
  for name, (path, layout) in _names().items():
    array = np.asarray(leaves[path], np.float32)
    state_dict[name] = np.ascontiguousarray(layout.to_torch(array))
    if name.endswith("conv_kernel.1.weight"):
      guide = name.replace("conv_kernel.1.weight", "conv_guide")
      channels = array.shape[0]
      state_dict[f"{guide}.weight"] = np.zeros((2, channels, 1, 1), np.float32)
      state_dict[f"{guide}.bias"] = np.zeros(2, np.float32)
  return state_dict


def differing(
  state_dict: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]
) -> list[str]:
  """List used entries of `state_dict` whose bits `other` does not hold.

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


def unwrap(checkpoint: object) -> dict[str, Any]:
  """Return the state dict inside what training programs save.

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
  """Read the state dict of a file of `torch.save`, unwrapped.

  Raises:
    pickle.UnpicklingError: if the file holds more than arrays and plain
      containers, or is damaged.
    UserError: if it is no such file, or holds no names and arrays.
  """
  checkpoint = unwrap(read_file(path))
  return {name: np.asarray(value) for name, value in checkpoint.items()}
