"""Write a network as one ONNX or StableHLO file.

Writes the network and its weights as a program of two inputs, composite and
mask, and one output, harmonized: ONNX for ONNX Runtime on computers, phones and
in browsers, or StableHLO for JAX on CPU, CUDA and TPU. Where the mask is 0, the
output is a copy.

examples:
  hdnet export hdnet-lite hdnet.onnx --uint8
  hdnet export mine.safetensors small.onnx --size 256 --uint8 --dtype float16
  hdnet export mine.safetensors mine.stablehlo --format stablehlo
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

from hdnet_jax.app.cli import arguments
from hdnet_jax.config import ModelConfig
from hdnet_jax.errors import UserError

_SUFFIXES = {"onnx": ".onnx", "stablehlo": ".stablehlo"}


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "export", __doc__, _export)
  arguments.add(
    parser,
    "WEIGHTS",
    "a released network, such as hdnet-lite, or a weights file, of hdnet "
    "export-weights or convert",
  )
  out = "file to write; ends in .onnx or .stablehlo"
  arguments.add(parser, "OUT", out, type=pathlib.Path)
  arguments.add(parser, "--format", "", choices=tuple(_SUFFIXES))
  arguments.add(
    parser,
    "--size S",
    "dynamic: images of every size; 256: of 256x256 alone; 480x640: of that "
    "height and width",
    "dynamic",
    type=_parse_size,
  )
  arguments.add(
    parser,
    "--uint8",
    "images of 0 to 255 and masks that are foreground from 128, in place of "
    "float32 images in -1 to 1 and masks in 0 to 1",
    False,
  )
  arguments.add(
    parser,
    "--dtype",
    "what weights are stored as (ONNX); the file becomes a half or a quarter "
    "as large, and is less exact",
    choices=("float32", "float16", "int8"),
  )
  arguments.add_force(parser)


def _parse_size(text: str) -> tuple[int, int] | None:
  """Parse a height and width; return None, any size, for "dynamic"."""
  if text == "dynamic":
    return None
  sides = text.split("x")
  if len(sides) > 2 or not all(side.isdecimal() for side in sides):
    raise argparse.ArgumentTypeError(f"{text!r} is not dynamic, 256 or 480x640")
  height, width = int(sides[0]), int(sides[-1])
  if not height or not width or height % 8 or width % 8:
    raise argparse.ArgumentTypeError(f"{text} is no multiple of 8")
  return height, width


def _export(options: argparse.Namespace) -> None:
  out, suffix = options.out, _SUFFIXES[options.format]
  if out.suffix != suffix:
    raise UserError(
      f"{out} must end in {suffix} for --format {options.format}; name another "
      "file or format"
    )
  arguments.check_output(out, options)
  if options.format == "stablehlo" and options.dtype != "float32":
    raise UserError("--dtype is for --format onnx; leave it out")

  from hdnet_jax import weights
  from hdnet_jax.atomic_write import write_then_rename

  params, model, provenance = weights.load(options.weights)
  pixels = "uint8" if options.uint8 else "float32"
  if options.format == "onnx":
    data, format = _onnx(options, pixels, params, model, provenance)
    sizes = "any"
  else:
    from hdnet_jax.app.export import stablehlo

    # The format has no place for the provenance.
    exported = stablehlo.build(params, model, options.size, pixels)
    data = bytes(exported.serialize())
    format = f"StableHLO, for {', '.join(stablehlo.PLATFORMS)}"
    sizes = f"multiples of 8, of {stablehlo.LEAST_PIXELS:,} pixels or more"
  write_then_rename(out, lambda name: name.write_bytes(data))
  images = "uint8, 0 to 255" if options.uint8 else "float32, -1 to 1"
  masks = "uint8, from 128" if options.uint8 else "float32, 0 to 1"
  count = arguments.count_parameters(params)
  arguments.print_results(
    {
      "written": out,
      "format": format,
      "composite": f"[batch, height, width, 3], {images}",
      "mask": f"[batch, height, width, 1], {masks}",
      "size": "x".join(map(str, options.size)) if options.size else sizes,
      "parameters": f"{count:,}, as {options.dtype}",
      **arguments.file_facts(out),
    }
  )


def _onnx(
  options: argparse.Namespace,
  pixels: Literal["float32", "uint8"],
  params: Mapping[str, Any],
  model: ModelConfig,
  provenance: Mapping[str, Any],
) -> tuple[bytes, str]:
  """The file's bytes, and its format in words."""
  import hdnet_jax
  from hdnet_jax import weights
  from hdnet_jax.onnx import graph, network

  settings = dataclasses.asdict(model)
  metadata = {
    "hdnet_jax": hdnet_jax.__version__,
    "model": json.dumps({name: settings[name] for name in weights.NETWORK}),
    "provenance": json.dumps(provenance, sort_keys=True),
  }
  if "license" in provenance:
    metadata["license"] = provenance["license"]
  data = network.build(
    params, model, options.size, pixels, options.dtype, metadata
  )
  return data, f"ONNX, opset {graph.OPSET}"
