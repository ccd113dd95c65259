import json
import pathlib
import subprocess
import sys
import tomllib

import pytest

import hdnet_jax

ROOT = pathlib.Path(__file__).parents[1]
PUBLIC = (
  *("Config", "HDNet", "Harmonizer", "ModelConfig", "blend"),
  "train_and_evaluate",
)
# Seconds to import, each; users of a config or a file reader need none.
HEAVY = ("jax", "jaxlib", "flax", "grain", "optax", "tensorflow", "torch")


def loaded_after(program: str) -> set[str]:
  """The top-level modules that a new interpreter has after `program`."""
  program += (
    "\nimport json, sys"
    "\nprint(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
  )
  result = subprocess.run(
    [sys.executable, "-c", program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  return set(json.loads(result.stdout))


def test_import_is_cheap():
  loaded = loaded_after(
    "import hdnet_jax, hdnet_jax.data.examples, hdnet_jax.data.photos\n"
    "hdnet_jax.Config(), dir(hdnet_jax)"
  )
  assert "hdnet_jax" in loaded
  assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
  "name", [name for name in PUBLIC if name != "train_and_evaluate"]
)
def test_public_names(name):
  value = getattr(hdnet_jax, name)
  assert value.__name__ == name


def test_train_and_evaluate(tmp_path):
  # In a new interpreter: it imports every library of the training. PyTorch is
  # there, and some libraries import it where it is.
  (tmp_path / "torch.py").touch()
  loaded = loaded_after(
    f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    "import hdnet_jax\n"
    "assert hdnet_jax.train_and_evaluate.__name__ == 'train_and_evaluate'"
  )
  assert not loaded & {"tensorflow", "torch"}


def test_public_names_are_listed():
  assert tuple(hdnet_jax.__all__) == PUBLIC
  assert set(PUBLIC) <= set(dir(hdnet_jax))
  assert "__version__" in dir(hdnet_jax)
  assert hdnet_jax.__version__.count(".") == 2


@pytest.mark.parametrize("name", ["HDNet2", "train", "_private"])
def test_unknown_names(name):
  message = f"module 'hdnet_jax' has no attribute '{name}'"
  with pytest.raises(AttributeError, match=message):
    getattr(hdnet_jax, name)


def test_requirements_are_the_small_installation_and_training():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  lines = (ROOT / "requirements.txt").read_text().splitlines()
  listed = {line for line in lines if line and not line.startswith("#")}
  train = project["optional-dependencies"]["train"]
  assert listed == {*project["dependencies"], *train}
  assert not set(train) & set(project["dependencies"])
