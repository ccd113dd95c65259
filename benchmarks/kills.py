"""Kills runs at random moments, and compares how they end.

    python benchmarks/kills.py
    python benchmarks/kills.py --processes 2 --kills 20 --seed 1

A run is ended by SIGKILL after a random time, started again, and so on until
one comes to its end; then its folder is compared with that of a run that
nobody disturbed: the last checkpoint's arrays and the evaluation, bit by bit.
This is repeated until --kills were done. Of two processes one is killed, either
of them, and the other must stop by itself. Prints what was under way at each
moment, and fails at the first difference. A kill costs the time of a start, so
that 50 take long. JAX_COMPILATION_CACHE_DIR keeps what was compiled for the
next time.
"""

import argparse
import collections
import filecmp
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import orbax.checkpoint as ocp

from hdnet_jax.training.workdir import checkpoint_steps

ROOT = pathlib.Path(__file__).parents[1]
# Small and quick, with much of it in saving and evaluating.
CONFIG = """
from hdnet_jax import config

def get_config():
  return config.make_config_dict(config.Config(
    name="kills", batch_size=8, eval_batch_size=64, log_every=2, save_every=3,
    eval_every=10, keep=2, epochs=0.5,
    model=config.ModelConfig(width=2),
    data=config.DataConfig(source="embedded", image_size=16),
  ))
"""
RESULTS = ("evaluation/metrics.json", "evaluation/per_image.csv")


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--kills", type=int, default=50)
  parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    moments = repeat(pathlib.Path(folder), args)
  print(
    f"{sum(moments.values())} kills, all runs ended as the undisturbed one:"
  )
  for moment, count in moments.most_common():
    print(f"  {count:3d} while {moment}")


def repeat(folder: pathlib.Path, args) -> collections.Counter:
  (folder / "kills.py").write_text(CONFIG)
  chance, moments = random.Random(args.seed), collections.Counter()
  whole, number = folder / "whole", 0
  run(folder, whole, args.processes)  # compiles
  shutil.rmtree(whole)
  began = time.monotonic()
  run(folder, whole, args.processes)
  length = time.monotonic() - began
  print(f"an undisturbed run takes {length:.0f} s", flush=True)
  while sum(moments.values()) < args.kills:
    workdir, number = folder / f"run{number}", number + 1
    while sum(moments.values()) < args.kills:
      delay = chance.uniform(0, length)
      moment = kill(folder, workdir, args.processes, delay, chance)
      if moment is None:
        break  # it was faster
      moments[moment] += 1
      print(f"killed after {delay:.1f} s, {moment}", flush=True)
    run(folder, workdir, args.processes)
    compare(whole, workdir)
    shutil.rmtree(workdir)
  return moments


def start(folder, workdir, count: int) -> list[subprocess.Popen]:
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  command = [
    *(sys.executable, str(ROOT / "train.py")),
    *(f"--config={folder / 'kills.py'}", f"--workdir={workdir}"),
  ]
  if count > 1:
    command += ["--config.distributed", f"--config.hosts.count={count}"]
    command += [f"--config.hosts.coordinator=127.0.0.1:{port}"]
  environment = {
    "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
    # Of two processes on CPUs the second finds nothing in that cache: what
    # compiles fast is what makes a start short.
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
    **os.environ,
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "1",
    "PYTHONPATH": str(ROOT),
  }
  return [
    subprocess.Popen(
      [*command, *([f"--config.hosts.rank={rank}"] if count > 1 else [])],
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      env=environment,
    )
    for rank in range(count)
  ]


def run(folder, workdir, count: int) -> None:
  """To its end."""
  processes = start(folder, workdir, count)
  for process in processes:
    output, _ = process.communicate()
    if process.returncode:
      raise SystemExit(f"a run failed:\n{output}")


def kill(folder, workdir, count: int, delay: float, chance) -> str | None:
  """Returns what was under way, or None where the run had come to its end."""
  began = time.time()
  processes = start(folder, workdir, count)
  victim = chance.choice(processes)
  time.sleep(delay)
  if victim.poll() is not None:
    for process in processes:
      output, _ = process.communicate()
      if process.returncode:
        raise SystemExit(f"a run failed:\n{output}")
    return None
  moment = under_way(workdir, began)
  victim.send_signal(signal.SIGKILL)
  for process in processes:
    output, _ = process.communicate()
    if process is not victim and "Traceback" in output:
      raise SystemExit(f"the other process did not stop in order:\n{output}")
  return moment


def under_way(workdir: pathlib.Path, began: float) -> str:
  """By what was written since the start; an older kill left files too."""
  saves = (workdir / "checkpoints").glob("*.writing*")
  if any(path.stat().st_mtime > began for path in saves):
    return "saving"
  if last_write(workdir / "evaluation/unfinished/facts.json") > began:
    return "evaluating the test split"
  if last_write(workdir / "metrics.jsonl") > began:
    return "training"
  return "starting"


def last_write(path: pathlib.Path) -> float:
  return path.stat().st_mtime if path.exists() else 0.0


def compare(whole: pathlib.Path, other: pathlib.Path) -> None:
  for name in RESULTS:
    if not filecmp.cmp(whole / name, other / name, shallow=False):
      raise SystemExit(f"{name} differs")
  expected, found = (last_state(folder) for folder in (whole, other))
  if expected.keys() != found.keys():
    raise SystemExit("the last checkpoint holds other arrays")
  for name, value in expected.items():
    if np.asarray(value).tobytes() != np.asarray(found[name]).tobytes():
      raise SystemExit(f"{name} of the last checkpoint differs")


def last_state(workdir: pathlib.Path) -> dict[str, np.ndarray]:
  import jax

  step = max(checkpoint_steps(workdir), default=0)
  with ocp.StandardCheckpointer() as checkpointer:
    tree = checkpointer.restore(workdir / "checkpoints" / f"{step}" / "state")
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


if __name__ == "__main__":
  main()
