"""`hdnet export`: weights as a program for ONNX Runtime, or for JAX alone."""

import argparse
import hashlib
import importlib.util
import json
import pathlib

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError

FORMATS = {"onnx": ".onnx", "stablehlo": ".stablehlo"}


def add(commands) -> None:
  parser = add_parser(
    commands,
    "export",
    help="write a network as one ONNX or StableHLO file",
    description="Writes the network and its weights as a program of two inputs,"
    " composite and mask, and one output, harmonized: ONNX for ONNX Runtime on "
    "computers, phones and in browsers, or StableHLO for JAX on CPU, CUDA and "
    "TPU. Where the mask is 0, the output is a copy.",
    epilog="""examples:
  hdnet export hdnet-lite hdnet.onnx --uint8
  hdnet export mine.safetensors small.onnx --size 256 --uint8 --dtype float16
  hdnet export mine.safetensors mine.stablehlo --format stablehlo""",
  )
  parser.add_argument(
    "weights",
    metavar="WEIGHTS",
    help="a released network, such as hdnet-lite, or a weights file, of hdnet "
    "export-weights or convert",
  )
  parser.add_argument(
    "out",
    type=pathlib.Path,
    metavar="OUT",
    help="file to write; ends in .onnx or .stablehlo",
  )
  parser.add_argument(
    "--format", default="onnx", choices=tuple(FORMATS), help="(default: onnx)"
  )
  parser.add_argument(
    "--size",
    type=_size,
    default="dynamic",
    metavar="S",
    help="dynamic: images of every size; 256: of 256x256 alone; 480x640: of "
    "that height and width (default: dynamic)",
  )
  parser.add_argument(
    "--uint8",
    action="store_true",
    help="images of 0 to 255 and masks that are foreground from 128, in place "
    "of float32 images in -1 to 1 and masks in 0 to 1",
  )
  parser.add_argument(
    "--dtype",
    default="float32",
    choices=("float32", "float16", "int8"),
    help="what weights are stored as (ONNX); the file becomes a half or a "
    "quarter as large, and is less exact (default: float32)",
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT where it exists"
  )
  parser.set_defaults(run=_export)


def _size(text: str) -> tuple[int, int] | None:
  """Height and width; None for "dynamic"."""
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
  out, suffix = options.out, FORMATS[options.format]
  if out.suffix != suffix:
    raise UserError(
      f"{out} must end in {suffix} for --format {options.format}; name another "
      "file or format"
    )
  if out.is_dir():
    raise UserError(f"{out} is a folder; name another file")
  if out.exists() and not options.force:
    raise UserError(f"{out} exists; add --force to replace it")
  if options.format == "stablehlo" and options.dtype != "float32":
    raise UserError("--dtype is for --format onnx; leave it out")

  from hdnet_jax import weights
  from hdnet_jax.atomic_write import write_then_rename

  params, model, provenance = weights.load(options.weights)
  make = _onnx if options.format == "onnx" else _stablehlo
  data, words = make(options, params, model, provenance)
  write_then_rename(out, lambda name: name.write_bytes(data))

  count = sum(leaf.size for leaf in weights.flatten(params).values())
  size = "x".join(map(str, options.size)) if options.size else words["any"]
  images = "uint8, 0 to 255" if options.uint8 else "float32, -1 to 1"
  masks = "uint8, from 128" if options.uint8 else "float32, 0 to 1"
  print(f"written     {out}")
  print(f"format      {words['format']}")
  print(f"composite   [batch, height, width, 3], {images}")
  print(f"mask        [batch, height, width, 1], {masks}")
  print(f"size        {size}")
  print(f"parameters  {count:,}, as {options.dtype}")
  print(f"bytes       {len(data):,}")
  print(f"sha256      {hashlib.sha256(data).hexdigest()}")


def _onnx(options, params, model, provenance) -> tuple[bytes, dict[str, str]]:
  """The file's bytes, and words about it."""
  import dataclasses

  import hdnet_jax
  from hdnet_jax import weights

  if importlib.util.find_spec("onnx") is None:
    raise UserError(
      "ONNX files need the package onnx; install the extra: "
      'pip install ".[onnx]"'
    )
  from hdnet_jax.app.export import onnx, onnx_graph

  settings = dataclasses.asdict(model)
  metadata = {
    "hdnet_jax": hdnet_jax.__version__,
    "model": json.dumps({name: settings[name] for name in weights.NETWORK}),
    "provenance": json.dumps(provenance, sort_keys=True),
  }
  if "license" in provenance:
    metadata["license"] = provenance["license"]
  pixels = "uint8" if options.uint8 else "float32"
  graph = onnx.build(
    params, model, options.size, pixels, options.dtype, metadata
  )
  words = {"format": f"ONNX, opset {onnx_graph.OPSET}", "any": "any"}
  return graph.SerializeToString(deterministic=True), words


def _stablehlo(
  options, params, model, provenance
) -> tuple[bytes, dict[str, str]]:
  from hdnet_jax.app.export import stablehlo

  del provenance  # the format has no place for it
  pixels = "uint8" if options.uint8 else "float32"
  exported = stablehlo.build(params, model, options.size, pixels)
  words = {
    "format": f"StableHLO, for {', '.join(stablehlo.PLATFORMS)}",
    "any": f"multiples of 8, of {stablehlo.LEAST_PIXELS:,} pixels or more",
  }
  return bytes(exported.serialize()), words
