"""`hdnet convert`: the authors' PyTorch weights as ours, and back."""

import argparse
import hashlib
import pathlib

from hdnet_jax.app.cli.parser import add_parser
from hdnet_jax.errors import UserError

OURS = ".safetensors"
THEIRS = (".pth", ".pt", ".ckpt", ".bin")
_NAMED = 3  # entries of an error message; more are counted


def add(commands) -> None:
  parser = add_parser(
    commands,
    "convert",
    help="turn the authors' PyTorch weights into a weights file, and back",
    description="Reads a state dict of the authors' PyTorch code, plain or as "
    "training programs wrap it, and writes a weights file; or the reverse, for "
    "a network with local_dynamics=official. What is written is read again and "
    "compared, bit by bit. A file that holds code is refused.",
    epilog="""examples:
  hdnet convert authors.pth hdnet.safetensors
  hdnet convert hdnet.safetensors authors.pth""",
  )
  parser.add_argument(
    "source",
    type=pathlib.Path,
    metavar="IN",
    help="ends in .pth, .pt, .ckpt or .bin (theirs) or .safetensors (ours)",
  )
  parser.add_argument(
    "out", type=pathlib.Path, metavar="OUT", help="the other of the two"
  )
  parser.add_argument(
    "--force", action="store_true", help="replace OUT where it exists"
  )
  parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
  source, out = options.source, options.out
  kinds = source.suffix, out.suffix
  back = kinds[0] == OURS and kinds[1] in THEIRS
  if not back and not (kinds[0] in THEIRS and kinds[1] == OURS):
    raise UserError(
      f"one of {source} and {out} must end in {OURS}, and the other in "
      f"{', '.join(THEIRS)}; name other files"
    )
  if out.is_dir():
    raise UserError(f"{out} is a folder; name another file")
  if out.exists() and not options.force:
    raise UserError(f"{out} exists; add --force to replace it")
  if not source.is_file():
    raise UserError(f"{source} is no file; check its path")
  (_to_theirs if back else _to_ours)(source, out)


def _to_ours(source: pathlib.Path, out: pathlib.Path) -> None:
  import hdnet_jax
  from hdnet_jax import weights
  from hdnet_jax.app.export import torch as interop

  theirs = _read(source)
  try:
    model, params = interop.convert_state_dict(theirs)
  except UserError as error:
    raise UserError(
      f"{source} does not hold the authors' HDNet: {_one_line(error)}"
    ) from None
  provenance = {
    # A name only: a path would tell of the machine.
    "converted_from": source.name,
    "sha256": _digest(source),
    "hdnet_jax": hdnet_jax.__version__,
    "image_size": "256",  # of the authors' training
  }
  lost = interop.differing(theirs, interop.make_state_dict(params, model))
  if lost:
    rest = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
    raise UserError(
      f"{source} would lose bits as float32 in {', '.join(lost[:_NAMED])}{rest}"
      "; save it as float32"
    )
  weights.save(out, params, model, provenance)
  written, model, _ = weights.load(out)
  _check(out, theirs, interop.make_state_dict(written, model))
  unused = sum(theirs[name].size for name in theirs if interop.is_unused(name))
  _print(out, model.width, params)
  if unused:
    print(f"left out    {unused:,} of conv_guide, which their code never uses")


def _to_theirs(source: pathlib.Path, out: pathlib.Path) -> None:
  from hdnet_jax import weights
  from hdnet_jax.app.export import torch as interop
  from hdnet_jax.app.export.torch_file import write_file
  from hdnet_jax.atomic_write import write_then_rename

  params, model, _ = weights.load(source)
  try:
    theirs = interop.make_state_dict(params, model)
  except UserError as error:
    raise UserError(
      f"{source} has no form in the authors' code: {error}"
    ) from None
  write_then_rename(out, lambda name: write_file(name, theirs))
  found, again = interop.convert_state_dict(_read(out))
  _check(out, theirs, interop.make_state_dict(again, found))
  _print(out, model.width, params)
  print("added       conv_guide, which their code loads and never uses, as 0")


def _read(path: pathlib.Path) -> dict:
  """The authors' state dict."""
  import pickle

  from hdnet_jax.app.export import torch as interop

  try:
    return interop.read_checkpoint(path)
  except pickle.UnpicklingError:
    # PyTorch's own words advise to run the code.
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


def _check(out: pathlib.Path, theirs: dict, again: dict) -> None:
  from hdnet_jax.app.export import torch as interop

  if interop.differing(theirs, again):
    raise UserError(f"{out} is not what was written to it; check the disk")


def _print(out: pathlib.Path, width: int, params: dict) -> None:
  from hdnet_jax import weights

  count = sum(leaf.size for leaf in weights.flatten(params).values())
  print(f"written     {out}")
  print(f"network     n = {width}, local_dynamics = official")
  print(f"parameters  {count:,}, all equal bit by bit when read again")
  print(f"bytes       {out.stat().st_size:,}")
  print(f"sha256      {_digest(out)}")


def _digest(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _one_line(error: Exception) -> str:
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  rest = len(lines) - 1 - _NAMED
  text = " ".join([*lines[:1], "; ".join(lines[1 : 1 + _NAMED])]).strip()
  return (text or type(error).__name__) + (
    f" and {rest} more" if rest > 0 else ""
  )
