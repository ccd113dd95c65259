"""What the scripts say of bad input, and their help."""

import importlib.util

import pytest


def test_a_folder_without_a_profile(tmp_path, fails):
  line = fails("gpu_parts", tmp_path)
  assert line.startswith(f"{tmp_path} holds no profile")


def test_a_folder_without_the_authors_code(tmp_path, fails):
  for path in (tmp_path, tmp_path / "missing"):
    line = fails("memory", "--official", path)
    assert line.startswith(f"--official {path}: no clone of github.com/")
    assert "models/networks.py" in line


def test_official_without_pytorch(tmp_path, monkeypatch, load):
  official = load("official")
  for name in official.FILES:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(SystemExit, match="needs PyTorch") as stopped:
    official.check(tmp_path)
  assert isinstance(stopped.value.code, str)  # is printed; the status is 1


def test_a_file_that_cannot_be_written(tmp_path, fails):
  path = tmp_path / "missing" / "numbers.json"
  assert "there is no folder" in fails("memory", "--json", path)


def test_help_has_examples(stop):
  for script in ("memory", "growth", "startup"):
    status, text = stop(script, "--help")
    assert status == 0
    assert f"    python benchmarks/{script}.py --official HDNet" in text


# A loop that calls what communicates, also a part of what begins before it.
