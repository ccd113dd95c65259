"""Write a run's weights as one safetensors file.

Writes the parameters that evaluation uses (their running mean, where the run
keeps one) and the network's settings.

examples:
  hdnet export-weights runs/hdnet hdnet.safetensors
  hdnet export-weights runs/hdnet small.safetensors --checkpoint best \\
      --dtype bfloat16
"""

import argparse
import pathlib

from hdnet_jax.app.cli import arguments


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(
    commands, "export-weights", __doc__, _export_weights
  )
  out = "file to write; ends in .safetensors"
  arguments.add(parser, "WORKDIR", "folder of the run", type=pathlib.Path)
  arguments.add(parser, "OUT", out, type=pathlib.Path)
  arguments.add_checkpoint(parser)
  arguments.add(
    parser,
    "--dtype",
    "what is stored; bfloat16 halves the file, and is less exact",
    choices=("float32", "bfloat16"),
  )
  arguments.add_force(parser)


def _export_weights(options: argparse.Namespace) -> None:
  from hdnet_jax import weights
  from hdnet_jax.training.restore import restore_params

  out = options.out
  weights.check_name(out)
  arguments.check_output(out, options)
  params, config, step = restore_params(options.workdir, options.checkpoint)
  provenance = weights.provenance_of(config, step, options.checkpoint)
  weights.save(out, params, config.model, provenance, options.dtype)
  count = arguments.count_parameters(params)
  arguments.print_results(
    {
      "written": out,
      "checkpoint": f"{options.checkpoint}, step {step:,}",
      "parameters": f"{count:,}, as {options.dtype}",
      **arguments.file_facts(out),
    }
  )
