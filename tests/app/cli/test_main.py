"""What `hdnet` says."""

import subprocess
import sys
import warnings

import pytest

from hdnet_jax.app.cli import main
from hdnet_jax.app.cli import prepare as prepare_command
from hdnet_jax.data import examples
from hdnet_jax.data.prepare import iharmony4


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([], ["hdnet prepare iharmony4 --root"]),
    (["prepare"], ["hdnet prepare photos", "iharmony4"]),
    (
      ["prepare", "iharmony4"],
      ["--image-size", "--subset", "--workers", "--skip-bad", "examples:"],
    ),
    (["prepare", "photos"], ["manifest.csv", "--max-pixels", "--pack"]),
  ],
)
def test_help_has_examples(arguments, words, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main([*arguments, "--help"])
  assert stopped.value.code == 0
  text = capsys.readouterr().out
  for word in words:
    assert word in text


@pytest.mark.parametrize("command", main.COMMANDS)
def test_every_command_has_an_example(command, capsys):
  name = command.__name__.rsplit(".", 1)[1].replace("_", "-")
  with pytest.raises(SystemExit) as stopped:
    main.main([name, "--help"])
  assert stopped.value.code == 0
  assert f"\n  hdnet {name} " in capsys.readouterr().out


@pytest.mark.parametrize(
  ("arguments", "status", "words"),
  [
    ([], 2, "required"),
    (["prepare", "imagenet"], 2, "invalid choice"),
    (["prepare", "photos"], 2, "--root"),
    (["prepare", "photos", "--root", "nowhere"], 1, "nowhere is not a folder"),
    (
      ["prepare", "iharmony4", "--root", ".", "--subset", "HCOC"],
      1,
      "has no subset HCOC; it has HCOCO",
    ),
    (
      ["prepare", "photos", "--root", ".", "--max-pixels", "0"],
      1,
      "--max-pixels must be 1 or more, not 0",
    ),
  ],
)
def test_mistakes(arguments, status, words, capsys):
  with pytest.raises(SystemExit) as stopped:
    main.main(arguments)
  assert stopped.value.code == status
  assert words in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["iharmony4", "photos"])
def test_defaults_are_those_of_the_data_package(kind):
  # Written twice, so that --help needs no library.
  arguments = ["prepare", kind, "--root", "."]
  options = main.make_parser().parse_args(arguments)
  assert options.max_pixels == examples.MAX_PIXELS
  made = prepare_command.options_of(options)
  assert made == iharmony4.Options()


def test_it_starts_without_the_libraries_of_training():
  program = (
    "import sys, hdnet_jax.app.cli.main;"
    "heavy = {'jax', 'flax', 'orbax', 'tensorflow_datasets', 'grain', 'PIL'};"
    "print(heavy & set(sys.modules) or 'none')"
  )
  out = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, check=True
  ).stdout
  assert out.strip() == "none"


def test_a_warning_of_a_library_is_a_line(tmp_path, capsys, monkeypatch):
  from hdnet_jax.app.cli import compare

  def run(options):
    warnings.warn("a file\n is damaged in part", UserWarning, stacklevel=1)

  monkeypatch.setattr(compare, "_compare", run)
  filters = warnings.filters[:]
  with warnings.catch_warnings():
    warnings.simplefilter("default")
    main.main(["compare", "a", "b"])
  assert capsys.readouterr().err == "warning: a file is damaged in part\n"
  assert warnings.filters[:] == filters
