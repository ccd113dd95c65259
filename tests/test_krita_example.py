"""examples/krita without Krita: what it asks of the real `hdnet` command."""

import ast
import configparser
import importlib.util
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "krita" / "hdnet_harmonize"


@pytest.fixture(scope="module")
def command():
  """The module that calls `hdnet`; nothing else of the plug-in is imported."""
  spec = importlib.util.spec_from_file_location(
    "hdnet_harmonize_command", PLUGIN / "command.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def script(tmp_path):
  """Writes a program, and returns its path."""

  def script(text: str) -> str:
    path = tmp_path / "a folder" / "hdnet"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)

  return script


@pytest.fixture
def settings(command, script, network):
  """Of the real command, with the small network."""
  hdnet = script(
    f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    "from hdnet_jax.app.cli.main import main\nmain()\n"
  )
  return command.Settings(hdnet, str(network))


@pytest.fixture
def pictures(tmp_path, rng) -> dict[str, str]:
  """A layer, what is under it, and where the result goes."""
  cutout = rng.integers(0, 256, (32, 48, 4), dtype=np.uint8)
  cutout[..., 3] = 0
  cutout[8:24, 10:30, 3] = 255
  cutout[8:24, 30:34, 3] = [200, 150, 100, 50]
  photo = np.full((32, 48, 4), [60, 90, 160, 255], np.uint8)
  paths = {n: str(tmp_path / f"{n}.png") for n in ("cutout", "photo", "layer")}
  for name, pixels in (("cutout", cutout), ("photo", photo)):
    Image.fromarray(pixels).save(paths[name])
  return paths


def pixels(path: str) -> np.ndarray:
  with Image.open(path) as image:
    assert image.mode == "RGBA"
    return np.asarray(image)


def test_the_layer_is_the_harmonized_cutout(
  command, settings, pictures, monkeypatch
):
  # As inside Krita, whose Python is another one.
  monkeypatch.setenv("PYTHONHOME", "/of/krita")
  assert command.harmonize(settings, **pictures) == []
  before, after = (pixels(pictures[name]) for name in ("cutout", "layer"))
  np.testing.assert_array_equal(after[..., 3], before[..., 3])
  visible = before[..., 3] > 0
  assert (after != before)[visible].any(-1).mean() > 0.9
  composed = pictures["cutout"].replace("cutout", "composed")
  files = [pictures["cutout"], pictures["photo"], "-o", composed]
  monkeypatch.delenv("PYTHONHOME")
  subprocess.run(
    [settings.command, "compose", *files, "--weights", settings.weights],
    check=True,
  )
  photo = Image.open(pictures["photo"])
  shown = np.asarray(Image.alpha_composite(photo, Image.fromarray(after)))
  assert abs(shown.astype(int) - pixels(composed)).max() <= 2


def test_settings_reach_the_command(command, settings, pictures):
  unchanged = settings._replace(strength=0.0, feather=2.5)
  command.harmonize(unchanged, **pictures)
  before, after = (pixels(pictures[name]) for name in ("cutout", "layer"))
  visible = before[..., 3] > 0
  np.testing.assert_array_equal(after[visible], before[visible])


def test_what_the_command_says_is_passed_on(command, settings, pictures):
  cutout = np.full((32, 48, 4), 255, np.uint8)
  cutout[0, :, 3] = 0
  Image.fromarray(cutout).save(pictures["cutout"])
  (note,) = command.harmonize(settings, **pictures)
  assert "covers 96.9% of the image" in note


def test_mistakes_are_one_line(command, settings, pictures, tmp_path):
  missing = settings._replace(command="nowhere/hdnet")
  with pytest.raises(
    command.Failure, match=r"cannot be run .*choose the hdnet"
  ):
    command.harmonize(missing, **pictures)
  missing = settings._replace(weights=str(tmp_path / "no.safetensors"))
  with pytest.raises(command.Failure, match=r"no\.safetensors is no file") as e:
    command.harmonize(missing, **pictures)
  assert not str(e.value).startswith("error")
  assert "\n" not in str(e.value)
  assert not pathlib.Path(pictures["layer"]).exists()


def test_a_silent_failure_is_told(command, script, pictures):
  settings = command.Settings(script("raise SystemExit(3)"))
  with pytest.raises(command.Failure, match="failed with status 3"):
    command.harmonize(settings, **pictures)


def test_a_command_that_hangs_is_ended(command, script, pictures, tmp_path):
  started = tmp_path / "started"
  settings = command.Settings(
    script(
      "import os, pathlib, time\n"
      f"pathlib.Path({str(started)!r}).write_text(str(os.getpid()))\n"
      "time.sleep(600)"
    )
  )

  def is_stopped() -> bool:
    return started.exists() and started.read_text() != ""

  with pytest.raises(command.Stopped):
    command.harmonize(settings, **pictures, is_stopped=is_stopped)
  with pytest.raises(ProcessLookupError):
    os.kill(int(started.read_text()), 0)
  with pytest.raises(command.Failure, match=r"took over 0\.1 s, and was ended"):
    command.harmonize(settings, **pictures, timeout=0.1)


def test_it_is_written_for_the_python_inside_krita():
  for path in PLUGIN.glob("*.py"):
    ast.parse(path.read_text(), path, feature_version=(3, 8))


def test_krita_finds_it():
  """Names that Krita, and its importer of zip files, go by."""
  folder = PLUGIN.parent
  desktop = configparser.ConfigParser()
  desktop.read(folder / "hdnet_harmonize.desktop")
  assert desktop["Desktop Entry"]["X-KDE-Library"] == PLUGIN.name
  assert (PLUGIN / "__init__.py").exists()
  actions = xml.etree.ElementTree.parse(folder / f"{PLUGIN.name}.action")
  extension = (PLUGIN / "extension.py").read_text()
  names = [action.attrib["name"] for action in actions.iter("Action")]
  assert names == ["hdnet_harmonize", "hdnet_harmonize_settings"]
  assert all(f'"{name}"' in extension for name in names)
