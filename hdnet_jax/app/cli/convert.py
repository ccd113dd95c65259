"""Turn the authors' PyTorch weights into a weights file, and back.

Reads a state dict of the authors' PyTorch code, plain or as training programs
wrap it, and writes a weights file; or the reverse, for a network with
local_dynamics=official. What is written is read again and compared, bit by bit.
A file that holds code is refused.

examples:
  hdnet convert authors.pth hdnet.safetensors
  hdnet convert hdnet.safetensors authors.pth
"""

import argparse
import pathlib

from hdnet_jax.app.cli import arguments
from hdnet_jax.errors import UserError

_SUFFIX = ".safetensors"
_TORCH = (".pth", ".pt", ".ckpt", ".bin")
_NAMED = 3  # entries of an error message; more are counted


def add(commands: arguments.Commands) -> None:
  parser = arguments.add_command(commands, "convert", __doc__, _convert)
  parser.add_argument(
    "source",
    type=pathlib.Path,
    metavar="IN",
    help="ends in .pth, .pt, .ckpt, .bin or .safetensors",
  )
  arguments.add(parser, "OUT", "the other of the two", type=pathlib.Path)
  arguments.add_force(parser)


def _convert(options: argparse.Namespace) -> None:
  source, out = options.source, options.out
  to_torch = source.suffix == _SUFFIX and out.suffix in _TORCH
  if not to_torch and not (source.suffix in _TORCH and out.suffix == _SUFFIX):
    raise UserError(
      f"one of {source} and {out} must end in {_SUFFIX}, and the other in "
      f"{', '.join(_TORCH)}; name other files"
    )
  arguments.check_output(out, options)
  if not source.is_file():
    raise UserError(f"{source} is no file; check its path")
  (_to_torch if to_torch else _from_torch)(source, out)


def _from_torch(source: pathlib.Path, out: pathlib.Path) -> None:
  import hdnet_jax
  from hdnet_jax import weights
  from hdnet_jax.app.export import torch as interop

  state_dict = _read(source)
  try:
    model, params = interop.convert_state_dict(state_dict)
  except UserError as error:
    raise UserError(
      f"{source} does not hold the authors' HDNet: {_one_line(error)}"
    ) from None
  lost = interop.differing(state_dict, interop.make_state_dict(params, model))
  if lost:
    rest = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    raise UserError(
      f"{source} would lose bits as float32 in {', '.join(lost[:_NAMED])}{rest}"
      "; save it as float32"
    )
  provenance = {
    # A name only: a path would tell of the machine.
    "converted_from": source.name,
    "sha256": arguments.file_facts(source)["sha256"],
    "hdnet_jax": hdnet_jax.__version__,
    "image_size": "256",  # of the authors' training
  }
  weights.save(out, params, model, provenance)
  written, model, _ = weights.load(out)
  _check(out, state_dict, interop.make_state_dict(written, model))
  _print(out, model.width, params)
  sizes = {name: array.size for name, array in state_dict.items()}
  if unused := sum(sizes[name] for name in sizes if interop.is_unused(name)):
    print(f"left out    {unused:,} of conv_guide, which their code never uses")


def _to_torch(source: pathlib.Path, out: pathlib.Path) -> None:
  from hdnet_jax import weights
  from hdnet_jax.app.export import torch as interop
  from hdnet_jax.app.export.torch_file import write_file
  from hdnet_jax.atomic_write import write_then_rename

  params, model, _ = weights.load(source)
  try:
    state_dict = interop.make_state_dict(params, model)
  except UserError as error:
    raise UserError(
      f"{source} has no form in the authors' code: {error}"
    ) from None
  write_then_rename(out, lambda name: write_file(name, state_dict))
  written, read_params = interop.convert_state_dict(_read(out))
  _check(out, state_dict, interop.make_state_dict(read_params, written))
  _print(out, model.width, params)
  print("added       conv_guide, which their code loads and never uses, as 0")


def _read(path: pathlib.Path) -> dict:
  """Read the authors' state dict."""
  import pickle

  from hdnet_jax.app.export import torch as interop

  try:
    return interop.read_checkpoint(path)
  except pickle.UnpicklingError:
    raise UserError(
      f"{path} is refused: it holds more than arrays, which could be code, or "
      "is damaged; save the state dict alone, with "
      "torch.save(net.state_dict(), FILE)"
    ) from None
  except (OSError, UserError) as error:
    words = _one_line(error).split(". ")[0]
    raise UserError(
      f"{path} cannot be read as weights of PyTorch ({words}); copy or save it "
      "again"
    ) from None


def _check(out: pathlib.Path, state_dict: dict, read_again: dict) -> None:
  from hdnet_jax.app.export import torch as interop

  if interop.differing(state_dict, read_again):
    raise UserError(f"{out} is not what was written to it; check the disk")


def _print(out: pathlib.Path, width: int, params: dict) -> None:
  count = arguments.count_parameters(params)
  arguments.print_results(
    {
      "written": out,
      "network": f"n = {width}, local_dynamics = official",
      "parameters": f"{count:,}, all equal bit by bit when read again",
    }
  )


def _one_line(error: Exception) -> str:
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  rest = len(lines) - 1 - _NAMED
  text = " ".join([*lines[:1], "; ".join(lines[1 : 1 + _NAMED])]).strip()
  return (text or type(error).__name__) + (
    f" and {rest} more" if rest > 0 else ""
  )
