"""`hdnet export`; the programs' numbers are `tests/app/export`'s."""

import hashlib
import json
import pathlib
import sys

import jax
import pytest

import hdnet_jax
from hdnet_jax import weights
from hdnet_jax.app.cli.main import parse
from hdnet_jax.errors import UserError

PROVENANCE = {"run": "tiny", "license": "CC0-1.0"}


@pytest.fixture(scope="module")
def source(network, tmp_path_factory) -> pathlib.Path:
  params, model, _ = weights.load(network)
  path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
  weights.save(path, params, model, PROVENANCE)
  return path


def run(*arguments) -> None:
  options = parse(["export", *map(str, arguments)])
  options.run(options)


def names(folder: pathlib.Path) -> list[str]:
  return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ((), ("float32, -1 to 1", "any", "as float32")),
    (("--uint8", "--size", "32x40"), ("uint8, 0 to 255", "32x40")),
    (("--size", "48", "--dtype", "float16"), ("48x48", "as float16")),
  ],
)
def test_onnx(arguments, words, source, tmp_path, capsys):
  onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
  out = tmp_path / "new/x.onnx"
  run(source, out, *arguments)
  graph = onnx.load(out)
  metadata = {x.key: x.value for x in graph.metadata_props}
  assert metadata.pop("model") == json.dumps(
    {
      "width": 2,
      "local_dynamics": "paper",
      "neighbors": 1,
      "global_dynamics": "mask",
    }
  )
  assert json.loads(metadata.pop("provenance")) == PROVENANCE
  assert metadata == {
    "hdnet_jax": hdnet_jax.__version__,
    "license": "CC0-1.0",
  }
  assert names(out.parent) == ["x.onnx"]
  assert str(tmp_path).encode() not in out.read_bytes()

  text = capsys.readouterr().out
  digest = hashlib.sha256(out.read_bytes()).hexdigest()
  for word in (str(out), "ONNX, opset 17", digest, *words):
    assert word in text
  kind = 2 if "--uint8" in arguments else 1  # of onnx.TensorProto
  assert graph.graph.input[0].type.tensor_type.elem_type == kind


def test_released_weights_by_name(tmp_path):
  onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
  run("hdnet-lite", tmp_path / "x.onnx", "--size", "16")
  graph = onnx.load(tmp_path / "x.onnx")
  metadata = {x.key: x.value for x in graph.metadata_props}
  assert json.loads(metadata["model"])["width"] == 8
  assert json.loads(metadata["provenance"])["image_size"] == "256"
  with pytest.raises(UserError, match="released are hdnet-lite"):
    run("hdnet-small", tmp_path / "y.onnx")


def test_stablehlo(source, tmp_path, capsys):
  out = tmp_path / "x.stablehlo"
  run(source, out, "--format", "stablehlo", "--size", "16")
  program = jax.export.deserialize(bytearray(out.read_bytes()))
  assert program.out_avals[0].shape[1:] == (16, 16, 3)
  text = capsys.readouterr().out
  for word in ("StableHLO, for cpu, cuda, tpu", "16x16"):
    assert word in text


def test_what_is_refused_before_anything_is_written(source, tmp_path):
  (tmp_path / "x.onnx").write_text("old")
  (tmp_path / "d.onnx").mkdir()
  for arguments, words in (
    (("x.onnx",), r"x\.onnx exists; .* --force"),
    (("d.onnx",), "is a folder"),
    (("x.safetensors",), r"must end in \.onnx for --format onnx"),
    (("y.onnx", "--format", "stablehlo"), r"must end in \.stablehlo"),
    (
      ("y.stablehlo", "--format", "stablehlo", "--dtype", "int8"),
      "--dtype is for --format onnx",
    ),
  ):
    with pytest.raises(UserError, match=words):
      run(source, tmp_path / arguments[0], *arguments[1:])
  with pytest.raises(UserError, match=r"none\.safetensors is no file"):
    run(tmp_path / "none.safetensors", tmp_path / "y.onnx")
  assert names(tmp_path) == ["d.onnx", "x.onnx"]
  assert (tmp_path / "x.onnx").read_text() == "old"


@pytest.mark.parametrize("size", ["12", "0", "16x20", "8x8x8", "big", "-8", ""])
def test_sizes_that_are_refused(size, source, tmp_path, capsys):
  with pytest.raises(SystemExit):
    run(source, tmp_path / "y.onnx", f"--size={size}")
  assert "multiple of 8" in (text := capsys.readouterr().err) or (
    "not dynamic, 256 or 480x640" in text
  )


def test_the_package_onnx_is_not_needed(source, tmp_path, monkeypatch):
  first, second = tmp_path / "x.onnx", tmp_path / "y.onnx"
  run(source, first)
  monkeypatch.setitem(sys.modules, "onnx", None)
  run(source, second)
  assert first.read_bytes() == second.read_bytes()
