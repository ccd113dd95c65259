"""Runs the scripts that docs/performance.md has of a CPU, one after another.

    python benchmarks/suite.py results/
    python benchmarks/suite.py results/ --official HDNet
    python benchmarks/suite.py results/ --only latency step

Each script's text goes to OUTPUT/NAME.txt, its numbers and picture beside it;
OUTPUT/suite.md has all tables, each below its command. What is there already
is not measured again: the same command goes on where it was stopped. Nothing
else should run meanwhile.
"""

import argparse
import os
import pathlib
import shlex
import subprocess
import sys
import time
from typing import NamedTuple

import common

FOLDER = pathlib.Path(__file__).parent


class Script(NamedTuple):
  arguments: str  # the script's name first
  official: bool = False  # whether it measures the authors' code, too
  json: bool = True
  figure: bool = False  # whether it draws one


SCRIPTS = {
  "command": Script("command"),
  "startup": Script("startup", official=True),
  "convolutions": Script("convolutions"),
  "layers": Script("layers"),
  "layers_full": Script("layers --width 32"),
  "latency": Script(
    "cpu_latency --width 8 --size 256 512 1024 --runs 12", official=True
  ),
  "latency_full": Script(
    "cpu_latency --width 32 --size 256 --runs 12", official=True
  ),
  "step": Script("train_step --steps 15", official=True),
  "folders": Script("folders --engine onnxruntime jax --runs 1"),
  "memory": Script("memory", official=True),
  "growth": Script("growth --rounds 1 --runs 5", figure=True),
  "evaluation": Script("evaluation --size 256", json=False),
  "arithmetic": Script("arithmetic"),
  "onnx_variants": Script("onnx_variants --weights hdnet-lite"),
  "browser": Script("browser --runs 9", json=False),
  "scale": Script("scale"),
}


def main():
  parser = common.make_parser(__doc__)
  parser.add_argument("output", type=pathlib.Path, help="folder of the results")
  parser.add_argument(
    "--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS), metavar="NAME"
  )
  parser.add_argument(
    "--official",
    type=pathlib.Path,
    metavar="PATH",
    help="your clone of the authors' repository, measured too (needs torch)",
  )
  args = parser.parse_args()
  if args.official:
    import official

    official.check(args.official)
  args.output.mkdir(parents=True, exist_ok=True)
  failed = [name for name in args.only if not run(name, args)]
  write_tables(args.output)
  print(args.output / "suite.md")
  if failed:
    sys.exit(f"failed: {', '.join(failed)}; see their .failed; run it again")


def run(name: str, args: argparse.Namespace) -> bool:
  """Measure, unless it is measured; return whether it is."""
  text = args.output / f"{name}.txt"
  if text.exists():
    print(f"{name}: in {text}")
    return True
  file, *arguments = words_of(name, args.official)
  command = [sys.executable, str(FOLDER / f"{file}.py"), *arguments]
  if SCRIPTS[name].json:
    command += ["--json", str(args.output / f"{name}.json")]
  if SCRIPTS[name].figure:
    command += ["--figure", str(args.output / f"{name}.png")]
  # As a reader would type it.
  file, *arguments = words_of(name, args.official and "HDNet")
  title = shlex.join(["python", f"benchmarks/{file}.py", *arguments])
  print(f"{name}: {title}", flush=True)
  start, partial = time.monotonic(), text.with_suffix(".partial")
  env = {**os.environ, "JAX_NUM_CPU_DEVICES": "1"}
  with partial.open("w") as out:
    out.write(f"$ {title}\n")
    out.flush()
    done = subprocess.run(command, stdout=out, stderr=out, env=env)
  print(f"  {time.monotonic() - start:.0f} s", flush=True)
  if done.returncode:
    partial.rename(text.with_suffix(".failed"))
    return False
  partial.rename(text)
  return True


def words_of(name: str, official: pathlib.Path | str | None) -> list[str]:
  """Return the script's name and its arguments."""
  script = SCRIPTS[name]
  words = script.arguments.split()
  if script.official and official:
    words += ["--official", str(official), "--form", "official"]
  return words


def write_tables(output: pathlib.Path) -> None:
  """Write suite.md: what the scripts printed, in their order."""
  parts = [
    f"## {name}\n\n```\n{path.read_text().rstrip()}\n```\n"
    for name in SCRIPTS
    if (path := output / f"{name}.txt").exists()
  ]
  (output / "suite.md").write_text("\n".join(parts))


if __name__ == "__main__":
  main()
