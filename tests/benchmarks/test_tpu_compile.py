"""Compiling for TPU pods ahead of time."""

import argparse
import importlib.util
import json

import jax
import pytest

from hdnet_jax import devices
from hdnet_jax.config import MeshConfig
from hdnet_jax.model.hdnet import HDNet

from .conftest import NETWORK, shapes_of, start

HLO = """
HloModule jit_step, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
}

%part.1 (p: bf16[2,8]) -> bf16[2,16] {
  %all-gather.1 = bf16[2,16]{1,0:T(2,128)(2,1)S(1)} all-gather(%p), \
channel_id=7, dimensions={1}, metadata={op_name="jit(step)/ld/gather"}
}

%part.2 (p: bf16[2,8]) -> bf16[2,16] {
  ROOT %all-gather.2 = bf16[2,16]{1,0:T(2,128)(2,1)} all-gather(%p), \
channel_id=7, dimensions={1}, metadata={op_name="jit(step)/ld/gather"}
}

%inner (p: s32[4]) -> s32[4] {
  %all-to-all = s32[4]{0:T(128)} all-to-all(%p), channel_id=3, dimensions={0}
}

%turn (t: (s32[], s32[4])) -> (s32[], s32[4]) {
  %x = s32[4]{0} fusion(%t), kind=kCustom, calls=%inner
  %y = bf16[2,16]{1,0} fusion(%t), kind=kCustom, calls=%part.1
}

%more (t: (s32[], s32[4])) -> pred[] {
  %x = pred[] constant(true)
}

ENTRY %main (p: f32[2,3]) -> f32[2,3] {
  %all-reduce.3 = (f32[2,3]{1,0:T(2,128)}, /*index=1*/pred[5]{0}) \
all-reduce(%p, %q), channel_id=1, to_apply=%add, \
metadata={op_name="jit(step)/sum"}
  %g = f32[2,3] get-tuple-element(%all-reduce.3), index=0
  %collective-permute-start = (bf16[2,1,8]{2,1,0}, bf16[2,1,8]{2,1,0}, \
u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%g), channel_id=2
  %done = bf16[2,1,8]{2,1,0} collective-permute-done(%collective-permute-start)
  %while = (s32[], s32[4]) while(%t), condition=%more, body=%turn
  %y = bf16[2,16]{1,0} fusion(%while), kind=kCustom, calls=%part.2
}
"""


def test_the_collectives_of_a_program(load):
  collectives = load("collectives")
  found = collectives.read(HLO)
  assert collectives.by_kind(found) == {
    "all-gather": [1, 2 * 16 * 2],
    "all-to-all": [1, 4 * 4],
    "all-reduce": [1, 2 * 3 * 4 + 5],
    "collective-permute": [1, 2 * 8 * 2],
  }
  assert [x.kind for x in found if x.looped] == ["all-to-all"]
  sources = {x.kind: x.source for x in found}
  assert sources["all-reduce"] == "jit(step)/sum"
  assert sources["all-gather"] == "jit(step)/ld/gather"


def test_the_largest_batch_is_on_a_line_through_two(load):
  compile_ = load("tpu_compile")

  def row(batch: int, temporary: int, **others) -> dict:
    memory = {"arguments": 30, "outputs": 20, "aliases": 20, "memory": 1000}
    case = {"config": "hdnet", "pod": "v5e-8", "program": "train"}
    case |= {"spatial": 1, "dtype": "bfloat16", "size": None, "width": None}
    sizes = {"batch": batch, "temporary": temporary, "mesh": [8, 1]}
    return case | memory | sizes | others

  rows = [row(8, 90), row(16, 170), row(8, 500, program="evaluation")]
  rows.append(rows[0] | {"batch": 200, "error": "Used 20G of 15G hbm"})
  # 30 + 10 + 10 * 96 = 1000; of 8 devices.
  assert compile_.largest_batch(rows[0], rows) == 96
  assert compile_.largest_batch(rows[2], rows) is None


def test_what_is_planned_for_pods_is_valid(load):
  compile_, programs = load("tpu_compile"), load("tpu_programs")
  arguments = {"config": None, "pod": None, "batch": None, "spatial": None}
  arguments |= {"program": compile_.PROGRAMS, "dtype": "bfloat16"}
  arguments |= {"size": None, "width": None}
  args = argparse.Namespace(**arguments)
  planned = [programs.Case(**case) for case in compile_.cases(args)]
  assert {case.config for case in planned} == {
    *("hdnet", "hdnet_lite", "hdnet_1024", "hdnet_2048")
  }
  for case in planned:
    config = case.make_config()
    assert config.model.dtype == "bfloat16"
    assert config.mesh.spatial == case.spatial
    # Photos have no composites; iHarmony4, of all that is planned, has.
    assert not config.data.makes_composites
  args.config, args.pod, args.batch = ["photos"], ["v5e-4"], [4]
  others = [programs.Case(**case) for case in compile_.cases(args)]
  assert [(case.program, case.batch) for case in others] == [
    ("train", 4),
    ("evaluation", 4),
  ]
  mesh = devices.make_mesh(MeshConfig(4))
  layers = programs.make_batch(others[1], others[1].make_config(), mesh)
  assert layers.keys() == {
    *("background", "object", "alpha", "index"),
    *("donor_object", "donor_alpha"),
  }


@pytest.fixture
def libtpu():
  if importlib.util.find_spec("libtpu") is None:
    pytest.skip("needs libtpu, though no TPU")


def gathered(found) -> list:
  """What is gathered of images; kernels, whose steps XLA splits, are not."""
  kernels = {leaf.shape for leaf in jax.tree.leaves(shapes_of(HDNet(width=2)))}
  return [
    array
    for x in found
    if x.kind == "all-gather"
    for array in x.arrays
    if array.shape not in kernels
  ]


@pytest.mark.slow
def test_a_training_step_compiles_for_a_pod_in_bands(tmp_path, libtpu, load):
  record, size = tmp_path / "tpu.jsonl", 32
  arguments = (
    *("tpu_compile", "--record", record, "--config", "hdnet_lite"),
    *("--pod", "v5e-4", "--program", "train", "--batch", 4, "--spatial", 2),
    *("--size", size, *NETWORK, "--text", tmp_path),
  )
  done = start(*arguments)
  assert done.returncode == 0, done.stdout + done.stderr
  (row,) = map(json.loads, record.read_text().splitlines())
  assert row["mesh"] == [2, 2]
  assert row["flops"] > 0
  assert 0 < row["temporary"] < row["memory"]
  # Gradients are summed, rows at the seams exchanged.
  assert row["collectives"]["all-reduce"][0] > 0
  assert row["collectives"]["collective-permute"][0] > 0
  (program,) = tmp_path.glob("*.txt")
  arrays = gathered(load("collectives").read(program.read_text()))
  # No image is gathered: LD's features, at an eighth of its size, are what is.
  assert max(x.size for x in arrays) == 2 * (size // 8) ** 2 * (8 * 2) * 4
  # What the file has is not compiled again.
  again = start(*arguments)
  assert again.returncode == 0
  assert len(record.read_text().splitlines()) == 1
  assert "hdnet_lite" in again.stdout
