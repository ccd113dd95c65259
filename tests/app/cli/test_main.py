"""What `hdnet` says."""

import argparse
import subprocess
import sys
import warnings

import pytest

import hdnet_jax
from hdnet_jax.app.cli import main
from hdnet_jax.app.cli import prepare as prepare_command
from hdnet_jax.data import examples
from hdnet_jax.data.prepare import iharmony4


def stop(*arguments: str) -> int:
  """The status with which the command ends."""
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  return stopped.value.code


@pytest.mark.parametrize("module", [None, *main.COMMANDS])
def test_every_command_has_an_example(module, capsys):
  name = module.__name__.rsplit(".", 1)[1].replace("_", "-") if module else ""
  assert stop(*name.split(), "--help") == 0
  assert f"\n  hdnet {name}".rstrip() + " " in capsys.readouterr().out


def test_help_of_subcommands(capsys):
  for name, words in (
    ("iharmony4", "--image-size --subset --workers --skip-bad examples:"),
    ("photos", "manifest.csv --max-pixels --pack examples:"),
  ):
    assert stop("prepare", name, "--help") == 0
    text = capsys.readouterr().out
    assert all(word in text for word in words.split())


def test_version(capsys):
  assert stop("--version") == 0
  assert capsys.readouterr().out == f"hdnet {hdnet_jax.__version__}\n"


@pytest.mark.parametrize(
  ("command", "status", "words"),
  [
    ("", 2, "required"),
    ("prepare imagenet", 2, "invalid choice"),
    ("prepare photos", 2, "--root"),
    ("compare a --config.seed=1", 2, "unrecognized arguments: --config.seed"),
    ("prepare photos --root nowhere", 1, "nowhere is not a folder"),
    (
      "prepare iharmony4 --root . --subset HCOC",
      *(1, "has no subset HCOC; it has HCOCO"),
    ),
    (
      "prepare photos --root . --max-pixels 0",
      *(1, "--max-pixels must be 1 or more, not 0"),
    ),
  ],
)
def test_mistakes(command, status, words, capsys):
  assert stop(*command.split()) == status
  assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", ["iharmony4", "photos"])
def test_defaults_are_those_of_the_data_package(name):
  # Written twice, so that --help needs no library.
  options = main.parse(["prepare", name, "--root", "."])
  assert options.max_pixels == examples.MAX_PIXELS
  assert prepare_command.check_options(options) == iharmony4.Options()


def test_it_starts_without_libraries():
  program = (
    "import sys; from hdnet_jax.app.cli import main; main.make_parser();"
    "heavy = {'absl', 'jax', 'flax', 'numpy', 'orbax', 'grain', 'PIL', 'rich',"
    "'onnxruntime'};"
    "print(heavy & set(sys.modules) or 'none')"
  )
  out = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, check=True
  ).stdout
  assert out.strip() == "none"


@pytest.mark.parametrize(
  ("error", "status", "words"),
  [
    (None, 0, "warning: a file is damaged in part\n"),
    (KeyboardInterrupt(), 130, "the same command continues"),
    (OSError(28, "No space left"), 1, "error: the disk is full ("),
    (OSError(36, "too long", "a" * 300), 1, "choose a shorter one"),
    (
      ModuleNotFoundError("No module named 'jax.numpy'", name="jax.numpy"),
      1,
      "error: hdnet compare needs JAX, which is not installed; pip install "
      '".[train]"\n',
    ),
  ],
)
def test_what_stops_a_command_is_a_line(
  error, status, words, capsys, monkeypatch
):
  def run(options):
    warnings.warn("a file\n is damaged in part", UserWarning, stacklevel=1)
    if error is not None:
      raise error

  options = argparse.Namespace(run=run, failure=1, command="hdnet compare")
  monkeypatch.setattr(main, "parse", lambda arguments: options)
  filters = warnings.filters[:]
  with warnings.catch_warnings():
    warnings.simplefilter("default")
    if error is None:
      main.main(["compare", "a", "b"])
    else:
      assert stop("compare", "a", "b") == status
  assert words in capsys.readouterr().err
  assert warnings.filters[:] == filters
