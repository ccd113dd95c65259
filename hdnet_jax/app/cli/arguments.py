"""Arguments that commands share, and what is done with them."""

import argparse
import contextlib
import inspect
import pathlib
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from typing import Any, Protocol

from hdnet_jax.errors import UserError
from hdnet_jax.images.formats import written_format_of
from hdnet_jax.inference.strength import MAX_STRENGTH

STREAM = "-"  # names standard input and output


class Commands(Protocol):
  """What `add_subparsers` returns."""

  def add_parser(
    self, name: str, **settings: Any
  ) -> argparse.ArgumentParser: ...


def add_command(
  commands: Commands,
  name: str,
  doc: str | None,
  run: Callable | None = None,
  failure: int = 1,
) -> argparse.ArgumentParser:
  """Add the parser of a command.

  Args:
    doc: a line for the list of commands, its description, and "examples:".
    run: is called with the parsed options.
    failure: exit status of a UserError.
  """
  summary, _, text = inspect.cleandoc(doc or "").partition("\n\n")
  description, heading, examples = text.partition("examples:\n")
  parser = commands.add_parser(
    name,
    help=summary[:1].lower() + summary[1:].rstrip("."),
    description=description,
    epilog=heading + examples,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.set_defaults(run=run, failure=failure, command=parser.prog)
  return parser


class Parser(Protocol):
  """A parser, or a group of its arguments."""

  def add_argument(self, *names: str, **settings: Any) -> Any: ...


def add(
  parser: Parser,
  names: str,
  help: str,
  default: Any = None,
  **values: Any,
) -> None:
  """Add an argument whose help tells its default.

  Args:
    names: as in "-o --output OUT": flags, if any, and what stands for a value.
    default: tells the type; False makes a flag without a value.
    values: for `parser.add_argument`; of choices the first is the default.
  """
  *flags, last = names.split()
  metavar = None if last.startswith("-") else last
  if metavar is None:
    flags.append(last)
  if default is False:
    parser.add_argument(*flags, action="store_true", help=help)
    return
  if not flags:
    flags = [last.lower()]
  if default is None and "choices" in values:
    default = values["choices"][0]
  if default is not None:
    text = f"{default:g}" if isinstance(default, float) else default
    help = f"{help} (default: {text})".lstrip()
    values = {"type": type(default), "default": default} | values
  parser.add_argument(*flags, metavar=metavar, help=help, **values)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
  add(
    parser,
    "--checkpoint",
    "last, or best on the validation split",
    choices=("last", "best"),
  )


def add_force(parser: argparse.ArgumentParser) -> None:
  add(parser, "--force", "replace OUT where it exists", False)


def add_weights(parser: argparse.ArgumentParser) -> None:
  """Add --weights and --engine, for all commands that harmonize."""
  add(
    parser,
    "--weights NAME",
    "a released network, a .safetensors file, a run's folder, or an .onnx file "
    "of hdnet export",
    "hdnet-lite",
  )
  add(
    parser,
    "--engine",
    "what runs the network; auto: JAX where it has a GPU or TPU, else ONNX "
    "Runtime",
    choices=("auto", "onnxruntime", "jax"),
  )


def add_changes(parser: argparse.ArgumentParser) -> None:
  """Add the flags of the network, its mode, and how much it changes."""
  add_weights(parser)
  add(
    parser,
    "--mode",
    "guided: the network sees a small image, and its change of colours is "
    "carried to the large one; direct: it sees the large one",
    choices=("guided", "direct"),
  )
  for names, help, default in (
    (
      "--strength S",
      f"0 to {MAX_STRENGTH:g}: how much of the change is made; above 1 colours "
      "go further the way that they change",
      1.0,
    ),
    ("--feather PX", "pixels over which it rises from the mask's edge", 0.0),
    ("--background", "change the background to fit the object instead", False),
  ):
    add(parser, names, help, default)


def add_mask_flags(parser: argparse.ArgumentParser, whole: str) -> None:
  """Add the flags of how masks are read; `whole` is what they are masks of."""
  resize = f"resize masks of the {whole}'s shape and another size"
  add(parser, "--invert-mask", "black is the object", False)
  add(parser, "--resize-mask", resize, False)


def add_image_format(parser: argparse.ArgumentParser) -> None:
  """Add the format and quality of images that are written."""
  parser.add_argument(
    "--format",
    choices=("png", "jpg", "webp", "tiff"),
    help="of stdout, and of results that OUT does not name (default: PNG; in "
    "folders that of each composite, or PNG where that is not written)",
  )
  add(parser, "--quality Q", "of JPEG and WebP, 1 to 100", 95)


def load_network(options: argparse.Namespace):
  """Load the network of --weights, for --engine and --mode if there is one."""
  from hdnet_jax.inference.harmonizer import Harmonizer
  from hdnet_jax.inference.modes import Mode

  mode: Mode = getattr(options, "mode", "guided")
  return Harmonizer.from_pretrained(
    options.weights, mode, engine=options.engine
  )


def change_options(options: argparse.Namespace):
  """Make the `ChangeOptions` of the flags of `add_changes`."""
  from hdnet_jax.inference.change import ChangeOptions

  return ChangeOptions(options.strength, options.feather, options.background)


def check_output(path: pathlib.Path, options: argparse.Namespace) -> None:
  """Raise UserError if `path` is a folder, or exists without --force."""
  from hdnet_jax.images.writing import check_free

  check_free(path, options.force)


def read_source(name: str) -> str | bytes:
  """Return the bytes of standard input for "-", and else the name."""
  return sys.stdin.buffer.read() if name == STREAM else name


@contextlib.contextmanager
def output_path(name: str, format: str | None) -> Generator[pathlib.Path]:
  """Yield the path to write to; for "-" a temporary one, then sent to stdout.

  Raises:
    UserError: if `format` is not that of the name's extension.
  """
  end = pathlib.PurePath(f"out.{format or 'png'}")
  if name != STREAM:
    path = pathlib.Path(name)
    if format and written_format_of(path) != written_format_of(end):
      raise UserError(
        f"{path} is not named as --format {format} is; leave out either"
      )
    yield path
    return
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / end
    yield path
    sys.stdout.buffer.write(path.read_bytes())
    sys.stdout.buffer.flush()


def print_results(results: Mapping[str, Any], width: int = 12) -> None:
  """Print names and values in two columns."""
  for name, value in results.items():
    print(f"{name:{width}s}{value}")


def count_parameters(params: Mapping[str, Any]) -> int:
  from hdnet_jax import weights

  return sum(leaf.size for leaf in weights.flatten(params).values())


def file_facts(path: pathlib.Path) -> dict[str, str]:
  """The size and sha256 of a file, for `print_results`."""
  import hashlib

  with path.open("rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  return {"bytes": f"{path.stat().st_size:,}", "sha256": digest}
