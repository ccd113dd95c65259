"""`hdnet convert`, and files of PyTorch read and written without it."""

import pathlib
import pickle
import struct
import zipfile

import jax
import numpy as np
import pytest

from hdnet_jax import weights
from hdnet_jax.app.cli.main import parse
from hdnet_jax.app.export.torch import (
  convert_state_dict,
  differing,
  is_unused,
  make_state_dict,
  read_checkpoint,
)
from hdnet_jax.app.export.torch_file import read_file, write_file
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

from .conftest import DATA, authors, prefixed

# Written by PyTorch 2.13; make_torch_file.py says what is in it.
WRITTEN = DATA / "authors_n1.pth"


def run(*arguments) -> None:
  options = parse(["convert", *map(str, arguments)])
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
