"""Runs of two processes with four devices each, on the loopback interface."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from hdnet_jax import distributed
from hdnet_jax.config import Config, HostsConfig
from hdnet_jax.errors import UserError
from hdnet_jax.training.evaluate import evaluate_checkpoint

LAST = 20  # steps
TIMEOUT = 60  # seconds without a sign of life


@pytest.fixture
def run_config(config) -> Config:
  return dataclasses.replace(
    config, epochs=LAST * 0.8, log_every=1, eval_every=100, save_every=4
  )


def start_two(program, config, folder: pathlib.Path, workdir: pathlib.Path):
  port = free_port()
  return [
    program.start(
      config,
      folder,
      workdir,
      devices=4,
      flags=[
        "--config.distributed",
        "--config.mesh.data=0",
        f"--config.hosts.coordinator=127.0.0.1:{port}",
        "--config.hosts.count=2",
        f"--config.hosts.rank={rank}",
        f"--config.hosts.timeout={TIMEOUT}",
      ],
    )
    for rank in range(2)
  ]


RESTORE = """
import json, pathlib, sys

import jax

rank, workdir = int(sys.argv[1]), pathlib.Path(sys.argv[3])
jax.distributed.initialize(sys.argv[2], 2, rank)

from hdnet_jax import atomic_write
from hdnet_jax.config import Config, MeshConfig
from hdnet_jax.errors import UserError
from hdnet_jax.devices import make_mesh
from hdnet_jax.training import checkpoint, digests, state

config = Config.from_dict(json.loads((workdir / "config.json").read_text()))
optimizer = state.make_optimizer(config.optimizer, 1.0)
like = state.abstract_state(
  lambda: state.initial_state(config, optimizer), make_mesh(MeshConfig())
)

def restore(folder):
  with checkpoint.Checkpoints(folder) as checkpoints:
    restored = checkpoints.restore_latest(like)
    # What is computed with it is the same, so that both go on.
    kernel = float(jax.jit(abs)(restored.params["x0"]["kernel"]).sum())
    print("told restored", int(restored.step), kernel, checkpoints.steps())

# Where the second process reads nothing at all.
restore(workdir if rank == 0 else workdir / "nothing")

def fail(*_):
  raise OSError(5, "Input/output error", "sha256.json")

atomic_write.PAUSES = (0.0,)
digests.verify = fail
try:
  restore(workdir)
except UserError as error:
  print("told refused", error)
"""


def free_port() -> int:
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    return free.getsockname()[1]


def run_two(script: str, folder: pathlib.Path, *arguments, devices=1):
  """What a script tells in each of two processes, in lines with `told`.

  Its arguments are the rank, where the processes meet, and `arguments`.
  """
  file = folder / "script.py"
  file.write_text(script)
  port = free_port()
  processes = [
    subprocess.Popen(
      [sys.executable, file, f"{rank}", f"127.0.0.1:{port}", *arguments],
      env={
        **os.environ,
        "PYTHONPATH": str(pathlib.Path(__file__).parents[2]),
        "JAX_NUM_CPU_DEVICES": str(devices),
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for rank in range(2)
  ]
  told = []
  for process in processes:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    # Gloo, too, writes to standard output, at times amid a line.
    told.append(re.findall(r"told (.*)", output))
  return told


def test_one_process_decides_what_is_restored(finished, tmp_path):
  """Of two, one cannot read; then neither can, and both are told."""
  (finished / "checkpoints" / "9").mkdir()  # damaged
  told = run_two(RESTORE, tmp_path, finished)
  assert told[0] == told[1]
  restored, refused = told[0]
  assert restored.startswith("restored 7 ")
  assert restored.endswith(", 7]")
  assert refused.startswith("refused sha256.json cannot be read (Input/output")
  assert (finished / "checkpoints" / "7").is_dir()
  assert [x.name for x in (finished / "broken_checkpoints").iterdir()] == ["9"]


GATHER = """
import sys

import jax
import numpy as np

rank = int(sys.argv[1])
jax.distributed.initialize(sys.argv[2], 2, rank)

from hdnet_jax import devices
from hdnet_jax.config import MeshConfig

# Interleaved, as `jax.make_mesh` orders those of a TPU pod.
order = [jax.devices()[i] for i in (0, 1, 4, 5, 2, 3, 6, 7)]
for spatial in (1, 2):
  mesh = devices.make_mesh(MeshConfig(0, spatial), order)
  rows = np.arange(4 * rank, 4 * rank + 4, dtype=np.int32)
  images = np.zeros((4, 8, 8, 3), np.uint8) + rows[:, None, None, None]
  batch = devices.put({"index": rows, "real": images.astype(np.uint8)}, mesh)
  image = np.asarray(devices.gather(batch["real"]))
  index = devices.gather(batch["index"])
  print("told", index.tolist(), image[:, 5, 2, 1].tolist())
"""


def test_rows_are_gathered_in_the_order_of_processes(tmp_path):
  told = run_two(GATHER, tmp_path, devices=4)
  rows = list(range(8))
  assert told == [[f"{rows} {rows}"] * 2] * 2


def finish_all(program, processes) -> list[str]:
  return [program.finish(process) for process in processes]


def losses(workdir: pathlib.Path) -> list[float]:
  rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  found = [row for row in rows if "train/loss" in row]
  assert [row["step"] for row in found] == list(range(1, LAST + 1))
  return [row["train/loss"] for row in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
  return tmp_path_factory.mktemp("one_device")


@pytest.fixture
def expected(program, run_config, folder) -> list[float]:
  """The losses of the run of one device; the first test trains it."""
  if not (folder / "run").exists():
    program.finish(program.start(run_config, folder, folder / "run"))
  return losses(folder / "run")


def assert_same(found: list[float], expected: list[float]) -> None:
  """Equal losses, but for the order of sums, which training magnifies."""
  np.testing.assert_allclose(found[:10], expected[:10], rtol=1e-6)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.slow
def test_two_processes_equal_one_device(
  program, run_config, tmp_path, expected
):
  workdir = tmp_path / "run"
  main, other = finish_all(
    program, start_two(program, run_config, tmp_path, workdir)
  )
  assert_same(losses(workdir), expected)
  # Only the process of rank 0 says and writes what people read.
  assert "Protocol 'standard'" in main
  assert "Protocol 'standard'" not in other
  assert len(list(workdir.glob("events.out.tfevents.*"))) == 1
  assert (workdir / "evaluation/grid.png").exists()
  # One process alone evaluates its checkpoint to the same numbers.
  evaluate_checkpoint(run_config, workdir, "last", tmp_path / "again")
  metrics, again = (
    json.loads((path / "metrics.json").read_text())["protocols"]["standard"]
    for path in (workdir / "evaluation", tmp_path / "again")
  )
  # Pixels on the verge of two values may round either way.
  for name in ("mse", "psnr", "fmse", "ssim"):
    assert metrics["harmonized"][name] == pytest.approx(
      again["harmonized"][name], rel=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 0])
def test_a_killed_process_stops_the_other_and_both_continue(
  program, run_config, tmp_path, expected, rank
):
  workdir = tmp_path / "run"
  processes = start_two(program, run_config, tmp_path, workdir)
  program.wait_for_step(processes[0], workdir, 6)
  lost, left = processes[rank], processes[1 - rank]
  lost.send_signal(signal.SIGKILL)
  killed = time.monotonic()
  output, _ = left.communicate(timeout=300)
  lost.communicate()
  assert time.monotonic() - killed < TIMEOUT
  assert left.returncode != 0
  # Which of the two is first: the watch, or a sum whose connection broke.
  assert f"error: process {1 - rank} of 2 lost " in output
  assert "start all of them again with the same command" in output

  # Both continue from the last checkpoint; a SIGTERM to one stops both, after
  # the same step; one process alone goes on to the end.
  processes = start_two(program, run_config, tmp_path, workdir)
  program.wait_for_step(processes[0], workdir, 12)
  processes[1].send_signal(signal.SIGTERM)
  first, second = finish_all(program, processes)
  assert f"continuing {workdir} from step" in first
  stops = [
    line.split(",")[0]
    for output in (first, second)
    for line in output.splitlines()
    if line.startswith("stopped at step")
  ]
  assert len(stops) == 2
  assert stops[0] == stops[1]
  program.finish(program.start(run_config, tmp_path, workdir))
  assert_same(losses(workdir), expected)


@pytest.mark.slow
def test_two_processes_continue_the_run_of_one(
  program, run_config, tmp_path, expected
):
  workdir = tmp_path / "run"
  process = program.start(run_config, tmp_path, workdir)
  program.wait_for_step(process, workdir, 5)
  process.send_signal(signal.SIGTERM)
  assert "stopped at step" in program.finish(process)
  finish_all(program, start_two(program, run_config, tmp_path, workdir))
  assert_same(losses(workdir), expected)


@pytest.mark.parametrize(
  ("values", "words"),
  [
    ({"coordinator": "localhost:1"}, "give --config.hosts.count and"),
    ({"count": 2, "rank": 0}, "give --config.hosts.coordinator"),
    ({"coordinator": "localhost:1", "count": 2, "rank": 2}, "rank=2 is not"),
  ],
)
def test_hosts_are_given_in_full(config, values, words):
  config = dataclasses.replace(
    config, distributed=True, hosts=HostsConfig(**values)
  )
  with pytest.raises(UserError, match=words), distributed.initialize(config):
    pass


def test_alone_there_is_nobody_to_join(config):
  with distributed.initialize(config):
    assert jax.process_count() == 1
    assert distributed.is_main()
    step = jax.jit(lambda x: x)
    assert distributed.compile_before_start(step) is step


def test_what_a_lost_process_looks_like(monkeypatch):
  broken = "UNKNOWN: Gloo all-reduce failed: Connection closed by peer"
  errors = [
    (jax.errors.JaxRuntimeError("UNAVAILABLE: Socket closed"), True),
    (jax.errors.JaxRuntimeError(broken), True),
    (ValueError(broken), True),
    (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: memory"), False),
    (ValueError("a defect"), False),
    (UserError("no data"), False),
    (None, False),
  ]
  assert not any(distributed.is_lost_process(error) for error, _ in errors)
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  for error, lost in errors:
    assert distributed.is_lost_process(error) == lost
