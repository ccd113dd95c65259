"""The authors' weights as ours and back, and `hdnet convert`.

Parity of the converted weights is `tests/model/test_parity.py`'s.
"""

import argparse
import functools
import pathlib
import pickle
import runpy
import struct
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hdnet_jax import weights
from hdnet_jax.app.cli import convert
from hdnet_jax.app.export.torch import (
  convert_state_dict,
  differing,
  is_unused,
  make_state_dict,
  read_checkpoint,
  unwrap,
)
from hdnet_jax.app.export.torch_file import read_file, write_file
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError
from hdnet_jax.model.hdnet import HDNet

DATA = pathlib.Path(__file__).parents[2] / "data"
# Written by PyTorch 2.13; make_torch_file.py says what is in it.
WRITTEN = DATA / "authors_n1.pth"


@functools.cache
def script() -> dict:
  return runpy.run_path(str(DATA / "make_reference.py"))


def authors(width: int = 1) -> dict[str, np.ndarray]:
  return script()["make_state_dict"](np.random.default_rng(0), width)


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


def prefixed(prefix: str, state_dict: dict) -> dict:
  return {f"{prefix}{name}": array for name, array in state_dict.items()}


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


def run(*arguments) -> None:
  parser = argparse.ArgumentParser()
  convert.add(parser.add_subparsers())
  options = parser.parse_args(["convert", *map(str, arguments)])
  options.run(options)


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


def test_convert_and_back(tmp_path, capsys):
  torch_file, own_file, back = (
    tmp_path / name for name in ("a.pth", "b.safetensors", "c.pth")
  )
  state_dict = {
    name: array.astype(np.float32) for name, array in authors(2).items()
  }
  write_file(torch_file, prefixed("module.", state_dict))
  run(torch_file, own_file)
  params, model, provenance = weights.load(own_file)
  assert model == ModelConfig(width=2, local_dynamics="official")
  jax.tree.map(
    np.testing.assert_array_equal, params, convert_state_dict(state_dict)[1]
  )
  assert provenance["converted_from"] == "a.pth"
  assert str(tmp_path).encode() not in own_file.read_bytes()
  text = capsys.readouterr().out
  count = sum(leaf.size for leaf in jax.tree.leaves(params))
  for word in (str(own_file), "n = 2,", f"{count:,}, all equal bit by bit"):
    assert word in text

  run(own_file, back)
  again = read_file(back)
  assert again.keys() == state_dict.keys()
  assert not differing(state_dict, again)
  assert f"{count:,}, all equal bit by bit" in capsys.readouterr().out
  assert names(tmp_path) == ["a.pth", "b.safetensors", "c.pth"]


def with_entry(path: pathlib.Path, entry: str, data: bytes) -> None:
  """Write WRITTEN to `path`, with `data` for an entry of the archive."""
  with zipfile.ZipFile(WRITTEN) as old, zipfile.ZipFile(path, "w") as new:
    for name in old.namelist():
      found = name.split("/", 1)[1] == entry
      new.writestr(name, data if found else old.read(name))


def test_a_file_of_torch_is_read_without_it(tmp_path):
  # PyTorch rounds to bfloat16 as this does: half to even.
  bits = authors()["model_layer13.1.weight"].astype(np.float16)
  bits = bits.astype(np.float32).view(np.uint32)
  rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
  found = read_checkpoint(WRITTEN)
  assert found.keys() == authors().keys()
  for name, array in authors().items():
    expected = array.astype(np.float16)
    if name == "model_layer13.1.weight":
      expected = rounded
    elif name == "model_out.1.bias":
      expected = expected.astype(np.float64)
    assert found[name].dtype == expected.dtype
    np.testing.assert_array_equal(found[name], expected)
  run(WRITTEN, tmp_path / "a.safetensors")
  params, model, _ = weights.load(tmp_path / "a.safetensors")
  assert not differing(found, make_state_dict(params, model))


def test_convert_refuses_what_would_lose_bits(tmp_path):
  # The one storage of float64.
  with zipfile.ZipFile(WRITTEN) as archive:
    entry, data = next(
      (info.filename.split("/", 1)[1], archive.read(info))
      for info in archive.infolist()
      if "/data/" in info.filename and info.file_size == 3 * 8
    )
  longer = np.frombuffer(data) + 1e-12
  with_entry(tmp_path / "a.pth", entry, longer.tobytes())
  with pytest.raises(
    UserError, match=r"lose bits .* model_out\.1\.bias; save it"
  ):
    run(tmp_path / "a.pth", tmp_path / "b.safetensors")
  assert names(tmp_path) == ["a.pth"]


def test_convert_names_what_does_not_fit_in_one_line(tmp_path):
  state_dict = authors() | {"netD.weight": np.zeros(1), "epoch": np.zeros(())}
  del state_dict["LD.linear.bias"]
  write_file(tmp_path / "a.pth", state_dict)
  with pytest.raises(UserError, match=r"a\.pth does not hold") as raised:
    run(tmp_path / "a.pth", tmp_path / "b.safetensors")
  text = str(raised.value)
  for word in ("3 entries", "missing: LD.linear.bias", "left over: epoch"):
    assert word in text
  assert len(text.splitlines()) == 1


def test_convert_of_a_form_that_the_authors_lack(tmp_path):
  model = ModelConfig(width=1, local_dynamics="official")
  _, params = convert_state_dict(authors())
  path = tmp_path / "a.safetensors"
  weights.save(path, params, ModelConfig(width=1))
  with pytest.raises(UserError, match=r"a\.safetensors has no form .*official"):
    run(path, tmp_path / "b.pth")
  weights.save(path, params, model)
  run(path, tmp_path / "b.pth")
  with pytest.raises(UserError, match=r"b\.pth exists; .* --force"):
    run(path, tmp_path / "b.pth")
  run(path, tmp_path / "b.pth", "--force")


def test_convert_needs_the_right_names(tmp_path):
  for source, out in (
    ("a.pth", "b.pth"),
    ("a.safetensors", "b.safetensors"),
    ("a.npz", "b.safetensors"),
  ):
    with pytest.raises(UserError, match="must end in"):
      run(tmp_path / source, tmp_path / out)
  with pytest.raises(UserError, match=r"a\.pth is no file"):
    run(tmp_path / "a.pth", tmp_path / "b.safetensors")


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_files_of_torch(kind, tmp_path):
  torch = pytest.importorskip("torch", reason="needs PyTorch")
  tensors = {
    name: torch.from_numpy(array).to(getattr(torch, kind))
    for name, array in authors().items()
  }
  torch_file, own_file = tmp_path / "a.pth", tmp_path / "b.safetensors"
  torch.save({"netG": prefixed("module.", tensors), "epoch": 3}, torch_file)
  run(torch_file, own_file)
  params, model, _ = weights.load(own_file)
  back = make_state_dict(params, model)
  run(own_file, tmp_path / "c.pth")
  again = torch.load(tmp_path / "c.pth", weights_only=True)
  assert again.keys() == tensors.keys()
  for name, tensor in tensors.items():
    assert again[name].dtype == torch.float32
    if not is_unused(name):
      assert torch.equal(again[name], tensor.float())
      np.testing.assert_array_equal(back[name], tensor.float().numpy())


class Code:
  def __reduce__(self):
    return pathlib.Path.touch, (pathlib.Path("ran"),)


@pytest.mark.parametrize(
  ("entry", "data"),
  [
    ("data.pkl", pickle.dumps(Code())),
    ("data.pkl", pickle.dumps({"a": print})),
    ("data.pkl", b"text"),
    ("data.pkl", b""),
    ("data.pkl", None),  # a tensor that reaches beyond its storage
    ("data/0", b"abc"),
  ],
)
def test_files_with_code_and_damaged_ones(entry, data, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / "a.pth"
  if data is None:
    write_file(path, {"x": np.zeros((2, 3), np.float32)})
    with zipfile.ZipFile(path) as archive:
      data = archive.read("archive/data.pkl")
    shape = struct.pack("<cici", b"J", 2, b"J", 3)
    assert data.count(shape) == 1
    data = data.replace(shape, struct.pack("<cici", b"J", 2, b"J", 4))
  with_entry(path, entry, data)
  with pytest.raises(UserError, match=r"a\.pth is refused") as raised:
    run(path, tmp_path / "b.safetensors")
  assert len(str(raised.value).splitlines()) == 1
  assert names(tmp_path) == ["a.pth"]


@pytest.mark.parametrize("kind", ["cut", "text", "empty", "pickle"])
def test_files_that_are_not_of_torch(kind, tmp_path):
  path = tmp_path / "a.pth"
  path.write_bytes(
    {
      "cut": WRITTEN.read_bytes()[:20_000],
      "text": b"text",
      "empty": b"",
      "pickle": pickle.dumps({"x": 1}),
    }[kind]
  )
  with pytest.raises(UserError, match=r"a\.pth cannot be read") as raised:
    run(path, tmp_path / "b.safetensors")
  assert len(str(raised.value).splitlines()) == 1
  assert names(tmp_path) == ["a.pth"]
