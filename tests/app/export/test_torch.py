"""The authors' weights as ours and back.

Parity of the converted weights is `tests/model/test_parity.py`'s.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax.app.export.torch import (
  convert_state_dict,
  differing,
  is_unused,
  make_state_dict,
  unwrap,
)
from hdnet_jax.config import ModelConfig
from hdnet_jax.model.hdnet import HDNet

from .conftest import authors, prefixed


@pytest.mark.parametrize("width", [1, 3])
def test_width_is_found_and_every_parameter_filled(width):
  config, params = convert_state_dict(authors(width))
  assert config == ModelConfig(width=width, local_dynamics="official")
  image, mask = jnp.ones((1, 8, 8, 3)), jnp.ones((1, 8, 8, 1))
  model = HDNet(width, "official")
  expected = jax.eval_shape(model.init, jax.random.key(0), image, mask)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(
    jnp.shape, expected["params"]
  )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_parameters_are_float32(dtype):
  state_dict = authors()
  _, params = convert_state_dict(
    {name: array.astype(dtype) for name, array in state_dict.items()}
  )
  for leaf in jax.tree.leaves(params):
    assert isinstance(leaf, np.ndarray)
    assert leaf.dtype == np.float32
  # float16 numbers are numbers of every wider type: nothing is rounded.
  np.testing.assert_array_equal(
    params["out"]["bias"], state_dict["model_out.1.bias"]
  )


def test_layouts():
  state_dict = authors()
  _, params = convert_state_dict(state_dict)
  # [out, in, h, w] of a convolution.
  conv = state_dict["model_layer1.1.weight"]
  kernel = params["x1"]["conv"]["kernel"]
  assert kernel[0, 3, 0, 1] == conv[1, 0, 0, 3]
  # [in, out, h, w] of a transposed one, whose kernel is flipped.
  deconv = state_dict["model_layer13.1.weight"]
  kernel = params["y0"]["conv"]["kernel"]
  assert kernel.shape == (4, 4, 4, 1)
  assert kernel[0, 1, 2, 0] == deconv[2, 0, 3, 2]
  # The foreground's C*C outputs come first.
  grouped = state_dict["model_layer13att.conv_kernel.3.weight"]
  assert params["mgd_y0"]["kernel"].shape == (2, 2, 4)
  assert params["mgd_y0"]["kernel"][1, 0, 3] == grouped[7, 0, 0, 0]
  bias = state_dict["model_layer13att.conv_kernel.3.bias"]
  assert params["mgd_y0"]["bias"][1, 2] == bias[6]
  linear = state_dict["LD.linear.weight"]
  assert params["ld"]["fuse"]["kernel"][9, 2] == linear[2, 9, 0]


def test_a_linear_layer_may_lack_the_kernel_axis():
  state_dict = authors()
  _, expected = convert_state_dict(state_dict)
  state_dict["LD.linear.weight"] = state_dict["LD.linear.weight"][..., 0]
  _, params = convert_state_dict(state_dict)
  np.testing.assert_array_equal(
    params["ld"]["fuse"]["kernel"], expected["ld"]["fuse"]["kernel"]
  )


def test_the_unused_guide_is_dropped():
  state_dict = authors()
  unused = [name for name in state_dict if is_unused(name)]
  assert sorted(unused) == [
    f"model_layer{layer}att.conv_guide.{name}"
    for layer in (11, 12, 13)
    for name in ("bias", "weight")
  ]
  _, expected = convert_state_dict(state_dict)
  for name in unused:
    state_dict.pop(name)
  _, params = convert_state_dict(state_dict)
  jax.tree.map(np.testing.assert_array_equal, params, expected)


def test_all_problems_are_reported_at_once():
  state_dict = authors()
  del state_dict["model_layer4.1.weight"]
  del state_dict["LD.linear.bias"]
  state_dict["model_layer14.1.weight"] = np.zeros(1, np.float32)
  state_dict["discriminator.bias"] = np.zeros(1, np.float32)
  state_dict["model_layer2.1.weight"] = np.zeros((4, 2, 5, 5), np.float32)
  state_dict["model_out.1.weight"] = np.zeros(6, np.float32)
  state_dict["model_layer11att.conv_kernel.3.bias"] = np.zeros(7, np.float32)
  with pytest.raises(ValueError, match="do not fit") as raised:
    convert_state_dict(state_dict)
  first, *rest = str(raised.value).splitlines()
  assert first == "7 entries do not fit HDNet of width 1:"
  assert sorted(line.strip() for line in rest) == [
    "left over: discriminator.bias",
    "left over: model_layer14.1.weight",
    "missing: LD.linear.bias",
    "missing: model_layer4.1.weight",
    "wrong shape: model_layer11att.conv_kernel.3.bias (7,) "
    "for mgd_y2/bias (2, 64)",
    "wrong shape: model_layer2.1.weight (4, 2, 5, 5) "
    "for x2/conv/kernel (3, 3, 2, 4)",
    "wrong shape: model_out.1.weight (6,) for out/kernel (3, 3, 2, 3)",
  ]


def test_a_transposed_weight_is_refused():
  # Of the right size, and wrong.
  state_dict = authors()
  weight = state_dict["model_layer1.1.weight"]
  state_dict["model_layer1.1.weight"] = weight.swapaxes(0, 1)
  with pytest.raises(ValueError, match=r"^1 entries .*\n.*model_layer1\.1"):
    convert_state_dict(state_dict)


@pytest.mark.parametrize(
  "state_dict",
  [
    {},
    {"conv1.weight": np.zeros((4, 3, 3, 3))},
    {"model_layer0.weight": np.zeros(4)},
  ],
)
def test_what_is_no_hdnet_is_refused(state_dict):
  with pytest.raises(ValueError, match="this is no HDNet state dict"):
    convert_state_dict(state_dict)


@pytest.mark.parametrize("width", [1, 3])
def test_the_way_back_is_bitwise(width):
  state_dict = authors(width)
  config, params = convert_state_dict(state_dict)
  back = make_state_dict(params, config)
  assert back.keys() == state_dict.keys()
  for name, array in state_dict.items():
    assert back[name].shape == array.shape
    assert back[name].dtype == np.float32
    if is_unused(name):
      assert not back[name].any()
    else:
      np.testing.assert_array_equal(back[name], array.astype(np.float32))
  assert not differing(state_dict, back)
  _, again = convert_state_dict(back)
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_lost_bits_are_found():
  state_dict = {
    name: array.astype(np.float64) for name, array in authors().items()
  }
  # The signs of zeros count.
  state_dict["model_out.1.bias"][0] = -0.0
  config, params = convert_state_dict(state_dict)
  assert not differing(state_dict, make_state_dict(params, config))
  state_dict["LD.linear.bias"][3] += 1e-12
  state_dict["model_out.1.bias"][0] = 0.0
  assert differing(state_dict, make_state_dict(params, config)) == [
    "LD.linear.bias",
    "model_out.1.bias",
  ]


@pytest.mark.parametrize(
  "changes",
  [
    {"local_dynamics": "paper"},
    {"local_dynamics": "official", "global_dynamics": "learned_mask"},
  ],
)
def test_other_forms_have_no_way_back(changes):
  value = list(changes.values())[-1]
  with pytest.raises(ValueError, match=f"authors' code .*not {value!r}"):
    make_state_dict({}, ModelConfig(width=1, **changes))


@pytest.mark.parametrize(
  "wrap",
  [
    lambda plain: plain,
    lambda plain: {"state_dict": plain, "epoch": 3},
    lambda plain: {"netG": plain, "optimizer": {"state": {}}},
    lambda plain: {"state_dict": {"netG": plain}},
    lambda plain: prefixed("module.", plain),
    lambda plain: prefixed("netG.module.", plain),
    lambda plain: {"state_dict": prefixed("module.", plain)},
  ],
)
def test_wrapped_state_dicts(wrap):
  plain = authors()
  found = unwrap(wrap(plain))
  assert found.keys() == plain.keys()
  assert all(found[name] is array for name, array in plain.items())


@pytest.mark.parametrize("checkpoint", [[], 3, None, np.zeros(2)])
def test_checkpoints_of_something_else(checkpoint):
  with pytest.raises(ValueError, match="this is no HDNet state dict"):
    unwrap(checkpoint)
