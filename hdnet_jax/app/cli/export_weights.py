"""`hdnet export-weights`: a run's parameters as one file to hand on."""

import argparse
import hashlib
import pathlib

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError


def add(commands) -> None:
  parser = add_parser(
    commands,
    "export-weights",
    help="write a run's weights as one safetensors file",
    description="Writes the parameters that evaluation uses (their running "
    "mean, where the run keeps one) and the network's settings.",
    epilog="""examples:
  hdnet export-weights runs/hdnet hdnet.safetensors
  hdnet export-weights runs/hdnet small.safetensors --checkpoint best \\
      --dtype bfloat16""",
  )
  parser.add_argument(
    "workdir", type=pathlib.Path, metavar="WORKDIR", help="folder of the run"
  )
  parser.add_argument(
    "out",
    type=pathlib.Path,
    metavar="OUT",
    help="file to write; ends in .safetensors",
  )
  parser.add_argument(
    "--checkpoint",
    default="last",
    choices=("last", "best"),
    help="last, or best on the validation split (default: last)",
  )
  parser.add_argument(
    "--dtype",
    default="float32",
    choices=("float32", "bfloat16"),
    help="what is stored; bfloat16 halves the file, and is less exact "
    "(default: float32)",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT where it exists"
  )
  parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
  from hdnet_jax import weights
  from hdnet_jax.training.checkpoint import restore_params

  out = options.out
  weights.check_name(out)
  if out.exists() and not options.force:
    raise UserError(f"{out} exists; add --force to replace it")
  params, config, step = restore_params(options.workdir, options.checkpoint)
  provenance = weights.provenance_of(config, step, options.checkpoint)
  weights.save(out, params, config.model, provenance, options.dtype)
  count = sum(leaf.size for leaf in weights.flatten(params).values())
  with out.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  print(f"written     {out}")
  print(f"checkpoint  {options.checkpoint}, step {step:,}")
  print(f"parameters  {count:,}, as {options.dtype}")
  print(f"bytes       {out.stat().st_size:,}")
  print(f"sha256      {digest}")
