"""The authors' PyTorch weights as ours; needs NumPy only.

The conversion is the table `_names`: the authors' name, our path and how the
array is laid out. Nothing is guessed: every leftover, missing or misshapen
entry is reported at once.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from hdnet_jax.config import ModelConfig
from hdnet_jax.model.hdnet import HDNet

Layout = Callable[[np.ndarray], np.ndarray]


def _conv(weight: np.ndarray) -> np.ndarray:
  """OIHW as HWIO."""
  return weight.transpose(2, 3, 1, 0)


def _deconv(weight: np.ndarray) -> np.ndarray:
  """IOHW of a transposed convolution as the correlation that it applies."""
  return weight.transpose(2, 3, 0, 1)[::-1, ::-1]


def _dense(weight: np.ndarray) -> np.ndarray:
  """[O, I, 1] or [O, I, 1, 1] of a 1x1 convolution as [I, O]."""
  return weight.reshape(weight.shape[:2]).T


def _grouped(weight: np.ndarray) -> np.ndarray:
  """[2*C*C, 2, 1, 1] of MGD's grouped 1x1 convolution as [region, 2, C*C]."""
  return weight.reshape(2, -1, weight.shape[1]).transpose(0, 2, 1)


def _regions(bias: np.ndarray) -> np.ndarray:
  """[2*C*C] as [region, C*C]."""
  return bias.reshape(2, -1)


def _vector(array: np.ndarray) -> np.ndarray:
  return array


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
    "model_layer0.weight": ("x0/kernel", _conv),
    "model_out.1.weight": ("out/kernel", _deconv),
    "model_out.1.bias": ("out/bias", _vector),
    "LD.linear.weight": ("ld/fuse/kernel", _dense),
    "LD.linear.bias": ("ld/fuse/bias", _vector),
  }
  for ours, theirs in _ENCODER.items():
    table[f"{theirs}.weight"] = (f"{ours}/conv/kernel", _conv)
  for ours, theirs in _DECODER.items():
    table[f"{theirs}.1.weight"] = (f"{ours}/conv/kernel", _deconv)
    for name in _RAIN:
      table[f"{theirs}norm.{name}"] = (f"{ours}/rain/{name}", _vector)
  for ours in ("y2", "y1", "y0"):
    theirs, mgd = f"{_DECODER[ours]}att.conv_kernel", f"mgd_{ours}"
    table |= {
      f"{theirs}.1.weight": (f"{mgd}/squeeze/kernel", _dense),
      f"{theirs}.1.bias": (f"{mgd}/squeeze/bias", _vector),
      f"{theirs}.3.weight": (f"{mgd}/kernel", _grouped),
      f"{theirs}.3.bias": (f"{mgd}/bias", _regions),
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
    ValueError: listing every entry that is missing, left over or misshapen.
  """
  first = state_dict.get("model_layer0.weight")
  if first is None or np.ndim(first) != 4:
    raise ValueError(
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
      ours = np.ascontiguousarray(layout(array), dtype=np.float32)
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
    raise ValueError(
      f"{len(problems)} entries do not fit HDNet of width {config.width}:\n  "
      + "\n  ".join(problems)
    )
  return config, params


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
  """Path -> shape of every parameter of the model of `config`."""
  model = HDNet(
    config.width,
    config.local_dynamics,
    config.neighbors,
    config.global_dynamics,
    config.dtype,
  )
  image = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
  mask = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image, mask)
  leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
  return {
    "/".join(key.key for key in path): leaf.shape for path, leaf in leaves
  }


def _put(tree: dict, path: str, leaf: np.ndarray) -> None:
  *parents, last = path.split("/")
  for name in parents:
    tree = tree.setdefault(name, {})
  tree[last] = leaf
